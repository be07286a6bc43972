import { describe, expect, test } from 'vitest';

import {
  failuresOf,
  makeQueue,
  message,
  openDriver,
  openSubscription,
  elasticmqServer,
  localemuServer,
  receiveAll,
  soon,
  textOf,
  workOf,
} from './kit.ts';

const localemu = localemuServer();
const elasticmq = elasticmqServer();

describe.each([localemu, elasticmq])('FIFO on $name', (server) => {
  test('messages of a key are stored in the order of the batch, with few requests for many keys', async () => {
    const driver = openDriver(server);
    const { queue } = await makeQueue(driver, { ordered: true });
    let requests = 0;
    driver.client.middlewareStack.add((next) => (args) => ((requests += 1), next(args)), { step: 'initialize' });
    const batch = Array.from({ length: 60 }, (_, index) => {
      const key = `key-${index % 20}`;
      return message(`${key} ${index}`, workOf(queue), { key });
    });
    await driver.send(batch, soon());
    expect(requests).toBe(6);
    const received = await receiveAll(await openSubscription(driver, queue), 60);
    for (let number = 0; number < 20; number += 1) {
      const key = `key-${number}`;
      const ofKey = batch.filter((each) => each.key === key).map(({ id }) => id);
      expect(received.filter((each) => each.key === key).map(textOf)).toEqual(ofKey);
    }
  });

  test('a copy that is sent twice is stored once, and another with the same body is another', async () => {
    const driver = openDriver(server);
    const { queue } = await makeQueue(driver, { ordered: true });
    const body = Buffer.from('same');
    const copy = (id: string) => message(id, workOf(queue), { key: 'k', body, headers: { 'x-id': id } });
    await driver.send([copy('m1'), copy('m1#a2')], soon());
    await driver.send([copy('m1'), copy('m1#a3')], soon());
    const received = await receiveAll(await openSubscription(driver, queue), 3);
    expect(received.map(({ headers }) => headers['x-id'])).toEqual(['m1', 'm1#a2', 'm1#a3']);
    expect(await driver.admin.depth(queue)).toMatchObject({ ready: 0 });
  });

  test('keys that no group can have come back, and keep their order', async () => {
    const driver = openDriver(server);
    const { queue } = await makeQueue(driver, { ordered: true });
    const keys = ['ü 1', 'x'.repeat(500), 'a\u0000b', 'plain'];
    const batch = [1, 2].flatMap((turn) =>
      keys.map((key) => message(`${keys.indexOf(key)}.${turn}`, workOf(queue), { key })),
    );
    await driver.send(batch, soon());
    const received = await receiveAll(await openSubscription(driver, queue), batch.length);
    for (const key of keys) {
      const ofKey = received.filter((each) => each.key === key).map(textOf);
      expect(ofKey).toEqual([`${keys.indexOf(key)}.1`, `${keys.indexOf(key)}.2`]);
    }
  });

  test('a message without a key has none when it comes back', async () => {
    const driver = openDriver(server);
    const { queue } = await makeQueue(driver, { ordered: true });
    await driver.send([message('an id with spaces', workOf(queue)), message('m2', workOf(queue))], soon());
    const received = await receiveAll(await openSubscription(driver, queue), 2);
    expect(received.map(({ key }) => key)).toEqual([undefined, undefined]);
  });

  test('dead letters and delayed messages of an ordered queue keep their key', async () => {
    const driver = openDriver(server);
    const { queue } = await makeQueue(driver, { ordered: true });
    const due = Date.now() + 1_200;
    const dead = message('dead', { queue: queue.name, lane: 'dead' }, { key: 'a key' });
    await driver.send([dead, message('late', workOf(queue), { key: 'a key', notBefore: due })], soon());
    const [letter] = await receiveAll(await openSubscription(driver, queue, 'dead'), 1);
    expect(letter?.key).toBe('a key');
    const [late] = await receiveAll(await openSubscription(driver, queue), 1);
    expect(Date.now()).toBeGreaterThanOrEqual(due);
    expect(late?.key).toBe('a key');
  });

  test('what is too large of a key holds nothing else up', async () => {
    const driver = openDriver(server);
    const { queue } = await makeQueue(driver, { ordered: true });
    const large = { key: 'k', body: Buffer.alloc(300_000, 'x') };
    const batch = [
      message('a', workOf(queue), { key: 'k' }),
      message('b', workOf(queue), large),
      message('c', workOf(queue), { key: 'k' }),
    ];
    expect(await failuresOf(driver.send(batch, soon()))).toEqual({ 1: 'TOO_LARGE' });
    const received = await receiveAll(await openSubscription(driver, queue), 2);
    expect(received.map(textOf)).toEqual(['a', 'c']);
  });
});

test('a keyed topic hands on the order of each key, and the key to queues that are not FIFO', async () => {
  const driver = openDriver(localemu);
  const { queue, topic } = await makeQueue(driver, { ordered: true, types: ['order.placed'] });
  const loose = { name: `${queue.name}-loose`, ordered: false, bindings: queue.bindings };
  await driver.admin.apply({ topics: [topic], queues: [queue, loose] }, soon());
  const batch = Array.from({ length: 30 }, (_, index) =>
    message(`m${index}`, { topic: topic.name }, { key: `k ${index % 3}` }),
  );
  await driver.send(batch, soon());
  const received = await receiveAll(await openSubscription(driver, queue), 30);
  for (const key of ['k 0', 'k 1', 'k 2']) {
    const ofKey = batch.filter((each) => each.key === key).map(({ id }) => id);
    expect(received.filter((each) => each.key === key).map(textOf)).toEqual(ofKey);
  }
  const others = await receiveAll(await openSubscription(driver, loose), 30);
  expect(new Set(others.map((each) => `${textOf(each)} ${each.key}`))).toEqual(
    new Set(batch.map(({ id, key }) => `${id} ${key}`)),
  );
});
