import type { BatchError, OutgoingMessage } from '@waybill/core/driver';
import { expect, test } from 'vitest';

import {
  consume,
  eventually,
  failureOf,
  idOf,
  message,
  ownStandin,
  place,
  several,
  signal,
  start,
  take,
  unique,
  work,
} from './kit.ts';

const own = ownStandin();

test('a message comes back byte for byte, with its headers and key', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  const body = Buffer.from([0, 255, 128, 10, 195, 40]);
  const headers = { waybill: '{"attempt":2}', 'x-unicode': 'Grüße 🚀' };
  await driver.send([message('one', work(queue), { body, headers, key: 'k', contentType: 'text/x' })], signal());
  const consumer = await consume(driver, queue);
  const [delivery] = await take(consumer, 1);
  expect(Buffer.from(delivery?.body ?? []).equals(body)).toBe(true);
  expect(delivery).toMatchObject({ headers, key: 'k', contentType: 'text/x', deliveries: 1 });
});

test('each message of a batch comes as one that is sent alone', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  const headers = { waybill: '{"attempt":2}', 'x-unicode': 'Grüße 🚀', 'x-long': 'é'.repeat(300) };
  const like = (id: string): OutgoingMessage =>
    message(id, work(queue), { body: Buffer.alloc(70_000, id), headers, key: 'k'.repeat(128), contentType: 'text/x' });
  await driver.send(
    ['one', 'two', 'bare'].map((id) => (id === 'bare' ? message(id, work(queue)) : like(id))),
    signal(),
  );
  await driver.send([like('alone')], signal());
  const consumer = await consume(driver, queue);
  const [one, two, bare, alone] = await take(consumer, 4);
  for (const [id, delivery] of Object.entries({ one, two, alone })) {
    expect(delivery).toMatchObject({ headers, key: 'k'.repeat(128), contentType: 'text/x' });
    expect(delivery?.raw).toMatchObject({ messageId: id, subject: 'order.placed' });
    expect(Buffer.from(delivery?.body ?? []).equals(Buffer.alloc(70_000, id))).toBe(true);
  }
  expect(bare?.headers).toEqual({});
  expect(bare?.key).toBeUndefined();
});

test('messages of a batch wait each for its own time', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  const now = Date.now();
  const times = { now: undefined, later: now + 1_500, soon: now + 500 };
  const batch = Object.entries(times).map(([id, notBefore]) =>
    message(id, work(queue), notBefore === undefined ? {} : { notBefore }),
  );
  await driver.send(batch, signal());
  const consumer = await consume(driver, queue);
  const deliveries = await take(consumer, 3);
  expect(deliveries.map(idOf)).toEqual(['now', 'soon', 'later']);
  expect(Date.now()).toBeGreaterThanOrEqual(now + 1_500);
});

test('a topic reaches the queues that are bound by its type, and no other type does', async () => {
  const driver = start(own.broker);
  const { queue, topic } = await place(driver);
  await driver.send([message('other', { topic }, { type: 'order.paid' }), message('one', { topic })], signal());
  const consumer = await consume(driver, queue);
  expect((await take(consumer, 1)).map(idOf)).toEqual(['one']);
});

test('a topic without a bound queue takes messages', async () => {
  const driver = start(own.broker);
  const topic = { name: unique('topic'), keyed: false };
  await driver.admin?.apply({ topics: [topic], queues: [] }, signal());
  await expect(driver.send([message('one', { topic: topic.name })], signal())).resolves.toBeUndefined();
});

test('what goes to a missing entity fails as NOT_FOUND, and the others of its batch are stored', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  const batch = [
    message('one', work(queue)),
    message('two', { topic: 'nowhere' }),
    message('three', { queue: 'none', lane: 'work' }),
  ];
  const error = (await failureOf(driver.send(batch, signal()))) as BatchError;
  expect(error.failures.map(({ index, error: { code } }) => [index, code])).toEqual([
    [1, 'NOT_FOUND'],
    [2, 'NOT_FOUND'],
  ]);
  const consumer = await consume(driver, queue);
  expect((await take(consumer, 1)).map(idOf)).toEqual(['one']);
});

test('what is too large fails before it is sent, and alone', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  const batch = [
    message('body', work(queue), { body: Buffer.alloc(262_144) }),
    message('headers', work(queue), { headers: { note: 'x'.repeat(65_536) } }),
    message('one', work(queue)),
  ];
  const error = (await failureOf(driver.send(batch, signal()))) as BatchError;
  expect(error.failures.map(({ index, error: { code } }) => [index, code])).toEqual([
    [0, 'TOO_LARGE'],
    [1, 'TOO_LARGE'],
  ]);
  const consumer = await consume(driver, queue);
  expect((await take(consumer, 1)).map(idOf)).toEqual(['one']);
});

test('the largest message that the capabilities allow is stored, headers included', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  const headers = { waybill: 'x'.repeat(4_000) };
  const body = Buffer.alloc(driver.capabilities.maxMessageBytes - 4_100, 7);
  await driver.send([message('large', work(queue), { body, headers })], signal());
  const consumer = await consume(driver, queue);
  const [delivery] = await take(consumer, 1);
  expect(delivery?.body.byteLength).toBe(body.byteLength);
});

test('a batch that needs several transfers keeps its order', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  const batch = several('m', 60, queue, { body: Buffer.alloc(20_000) });
  await driver.send(batch, signal());
  const consumer = await consume(driver, queue);
  expect((await take(consumer, 60)).map(idOf)).toEqual(batch.map(({ id }) => id));
});

test('a delay is kept, and holds up nothing', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  const consumer = await consume(driver, queue);
  const notBefore = Date.now() + 1_500;
  await driver.send([message('late', work(queue), { notBefore }), message('now', work(queue))], signal());
  expect((await take(consumer, 1)).map(idOf)).toEqual(['now']);
  expect((await take(consumer, 1)).map(idOf)).toEqual(['late']);
  expect(Date.now()).toBeGreaterThanOrEqual(notBefore);
  expect(Date.now()).toBeLessThan(notBefore + 2_000);
});

test('an answer that is lost makes the outcome unknown, at once', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  await driver.send([message('first', work(queue))], signal());
  await own.broker.loseAnswers(queue.name, 1);
  const began = Date.now();
  const error = (await failureOf(driver.send([message('second', work(queue))], signal()))) as BatchError;
  expect(error.failures.map(({ error: { code } }) => code)).toEqual(['TIMEOUT']);
  expect(Date.now() - began).toBeLessThan(2_000);
  await eventually(() => driver.send([message('third', work(queue))], signal()));
  const consumer = await consume(driver, queue);
  expect((await take(consumer, 3)).map(idOf)).toEqual(['first', 'second', 'third']);
});

test('a link that the broker detaches is made again by the next send', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  await driver.send([message('first', work(queue))], signal());
  await own.broker.detachLinks(queue.name);
  await eventually(() => driver.send([message('second', work(queue))], signal()));
  const consumer = await consume(driver, queue);
  expect(new Set((await take(consumer, 2)).map(idOf))).toEqual(new Set(['first', 'second']));
});

test('a full entity and a busy namespace are THROTTLED, without any delay of the client', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  await own.broker.refuseSends(queue.name, true);
  const began = Date.now();
  const full = (await failureOf(driver.send([message('one', work(queue))], signal()))) as BatchError;
  await own.broker.refuseSends(queue.name, false);
  await own.broker.throttle([queue.name]);
  const busy = (await failureOf(driver.send([message('two', work(queue))], signal()))) as BatchError;
  await own.broker.throttle([]);
  expect([full.code, busy.code]).toEqual(['THROTTLED', 'THROTTLED']);
  expect(Date.now() - began).toBeLessThan(2_000);
});

test('a broker that says nothing costs one deadline, and what was sent is unknown', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  await driver.send([message('first', work(queue))], signal());
  own.broker.pause();
  try {
    const error = (await failureOf(driver.send([message('second', work(queue))], signal(1_000)))) as BatchError;
    expect(error.failures[0]?.error.code).toBe('TIMEOUT');
  } finally {
    own.broker.unpause();
  }
  await eventually(() => driver.send([message('third', work(queue))], signal()));
});

test('a small send takes no 40 ms', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  await driver.send([message('first', work(queue))], signal());
  const began = performance.now();
  for (let index = 0; index < 20; index += 1) await driver.send([message(`m${index}`, work(queue))], signal());
  expect((performance.now() - began) / 20).toBeLessThan(30);
});
