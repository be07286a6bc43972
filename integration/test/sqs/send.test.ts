import { GetQueueUrlCommand, SetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { describe, expect, test } from 'vitest';

import {
  errorOf,
  failuresOf,
  makeQueue,
  message,
  numbered,
  openDriver,
  openSubscription,
  elasticmqServer,
  localemuServer,
  receiveAll,
  soon,
  textOf,
  uniqueName,
  workOf,
} from './kit.ts';

const localemu = localemuServer();
const elasticmq = elasticmqServer();

describe.each([localemu, elasticmq])('sends to $name', (server) => {
  test('are stored once they resolve, ten to a request', async () => {
    const driver = openDriver(server);
    const { queue } = await makeQueue(driver);
    let requests = 0;
    driver.client.middlewareStack.add((next) => (args) => ((requests += 1), next(args)), { step: 'initialize' });
    await driver.send(numbered(100, workOf(queue)), soon());
    expect(requests).toBe(10);
    expect(await driver.admin.depth(queue)).toMatchObject({ ready: 100, deadLettered: 0 });
  });

  test('to the dead lane are dead letters', async () => {
    const driver = openDriver(server);
    const { queue } = await makeQueue(driver);
    await driver.send([message('a', { queue: queue.name, lane: 'dead' }), message('b', workOf(queue))], soon());
    expect(await driver.admin.depth(queue)).toMatchObject({ ready: 1, deadLettered: 1 });
  });

  test('to a queue that does not exist fail alone, and name it', async () => {
    const driver = openDriver(server);
    const { queue } = await makeQueue(driver);
    const gone = uniqueName('gone');
    const batch = [
      message('a', workOf(queue)),
      message('b', { queue: gone, lane: 'work' }),
      message('c', workOf(queue)),
    ];
    const error = await errorOf(driver.send(batch, soon()));
    expect(error.message).toContain(`Queue "${gone.replace('.', '_')}" ("${gone}") does not exist`);
    expect(await failuresOf(driver.send([batch[1] as (typeof batch)[0]], soon()))).toEqual({ 0: 'NOT_FOUND' });
    expect(await driver.admin.depth(queue)).toMatchObject({ ready: 2 });
  });

  test('that are delayed never come early', async () => {
    const driver = openDriver(server);
    const { queue } = await makeQueue(driver);
    const subscription = await openSubscription(driver, queue);
    const due = Date.now() + 1_700;
    await driver.send([message('late', workOf(queue), { notBefore: due }), message('now', workOf(queue))], soon());
    const received: (readonly [string, number])[] = [];
    for (let count = 0; count < 2; count += 1) {
      const [delivery] = await receiveAll(subscription, 1);
      if (delivery !== undefined) received.push([textOf(delivery), Date.now()]);
    }
    expect(received.map(([text]) => text)).toEqual(['now', 'late']);
    expect(received[1]?.[1]).toBeGreaterThanOrEqual(due);
    expect(received[1]?.[1]).toBeLessThan(due + driver.capabilities.delayErrorMs);
  });
});

// ElasticMQ has one limit for all queues.
test('what a queue refuses of a request fails, and nothing else', async () => {
  const driver = openDriver(localemu);
  const { queue } = await makeQueue(driver);
  const { QueueUrl } = await driver.client.send(new GetQueueUrlCommand({ QueueName: queue.name.replace('.', '_') }));
  const Attributes = { MaximumMessageSize: '1024' };
  await driver.client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }));
  const large = { body: Buffer.alloc(1_100, 'x') };
  const batch = [message('a', workOf(queue)), message('b', workOf(queue), large), message('c', workOf(queue))];
  expect(await failuresOf(driver.send(batch, soon()))).toEqual({ 1: 'TOO_LARGE' });
  expect(await driver.admin.depth(queue)).toMatchObject({ ready: 2 });
});

describe('sends to a topic', () => {
  test('reach each queue that is bound to their type', async () => {
    const driver = openDriver(localemu);
    const { queue, topic } = await makeQueue(driver, { types: ['order.placed'] });
    const batch = numbered(25, { topic: topic.name }).map((each, index) =>
      index % 5 === 0 ? { ...each, type: 'order.gone' } : each,
    );
    await driver.send(batch, soon());
    const received = await receiveAll(await openSubscription(driver, queue), 20);
    expect(new Set(received.map(textOf))).toEqual(
      new Set(batch.filter(({ type }) => type === 'order.placed').map(({ id }) => id)),
    );
  });

  test('without queues are no error', async () => {
    const driver = openDriver(localemu);
    const topic = { name: uniqueName('alone'), keyed: false };
    await driver.admin.apply({ topics: [topic], queues: [] }, soon());
    await driver.send([message('a', { topic: topic.name })], soon());
  });

  test('that another process made are found', async () => {
    const { queue, topic } = await makeQueue(openDriver(localemu), { types: ['order.placed'] });
    const publisher = openDriver(localemu);
    await publisher.send([message('a', { topic: topic.name })], soon());
    const [received] = await receiveAll(await openSubscription(openDriver(localemu), queue), 1);
    expect(received?.contentType).toBe('text/plain');
  });

  test.each([{}, { accountId: '000000000000' }])(
    'that does not exist are NOT_FOUND, with the options %j',
    async (more) => {
      const driver = openDriver(localemu, more);
      const topic = { name: uniqueName('gone'), keyed: false };
      const sending = (): Promise<void> => driver.send([message('a', { topic: topic.name })], soon());
      expect(await failuresOf(sending())).toEqual({ 0: 'NOT_FOUND' });
      await driver.verify({ topics: [topic], queues: [] }, soon());
      expect(await failuresOf(sending())).toEqual({ 0: 'NOT_FOUND' });
      await driver.admin.apply({ topics: [topic], queues: [] }, soon());
      await sending();
    },
  );

  test('need the option topics', async () => {
    const driver = openDriver(elasticmq);
    expect(driver.capabilities).toMatchObject({ topics: false });
    expect(await failuresOf(driver.send([message('a', { topic: 'orders' })], soon()))).toEqual({ 0: 'UNSUPPORTED' });
  });
});
