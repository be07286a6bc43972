import { DeleteQueueCommand, SetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { createBus, defineEvent, defineQueue } from '@waybill/core';
import type { Queue, Topology } from '@waybill/core/driver';
import { describe, expect, onTestFinished } from 'vitest';
import { z } from 'zod';

import type { PolicyStatement } from '../../src/index.ts';
import {
  aQueue,
  arnOf,
  aTopic,
  failureOf,
  openDriver,
  elasticmq,
  localemu,
  queuesOf,
  serverTest,
  soon,
  topologyOf,
  uniqueName,
  urlOf,
} from './admin-kit.ts';

function boundQueue(ordered = false): Queue {
  return aQueue(ordered, [{ topic: aTopic(ordered), types: ['a'] }]);
}

async function applied(queue: Queue): Promise<Topology> {
  const topology = topologyOf(queue);
  await openDriver(localemu.options()).admin.apply(topology, soon());
  return topology;
}

describe.each([localemu, elasticmq])('on $name', ({ options }) => {
  serverTest('verify names every queue that is missing, and makes none', async () => {
    const [queue, ordered] = [aQueue(), aQueue(true)];
    const driver = openDriver(options());
    expect(await driver.verify(topologyOf(queue, ordered), soon())).toEqual([
      `Queue "${queue.name}_dead" does not exist.`,
      `Queue "${queue.name}" does not exist.`,
      `Queue "${queue.name}_delay" does not exist.`,
      `Queue "${ordered.name}_dead.fifo" does not exist.`,
      `Queue "${ordered.name}.fifo" does not exist.`,
      `Queue "${ordered.name}_delay" does not exist.`,
    ]);
    expect(await queuesOf(driver.client, queue.name)).toEqual([]);
  });

  serverTest('verify sees what is gone since, also with a driver that knew it', async () => {
    const queue = aQueue();
    const driver = openDriver(options());
    await driver.admin.apply(topologyOf(queue), soon());
    expect(await driver.verify(topologyOf(queue), soon())).toEqual([]);
    const QueueUrl = await urlOf(driver.client, `${queue.name}_delay`);
    await driver.client.send(new DeleteQueueCommand({ QueueUrl }));
    expect(await driver.verify(topologyOf(queue), soon())).toEqual([`Queue "${queue.name}_delay" does not exist.`]);
  });

  serverTest('verify tells a difference in the words of apply', async () => {
    const queue = aQueue();
    const driver = openDriver(options());
    await driver.admin.apply(topologyOf(queue), soon());
    const QueueUrl = await urlOf(driver.client, queue.name);
    await driver.client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { DelaySeconds: '9' } }));
    const said = await driver.verify(topologyOf(queue), soon());
    expect(said).toEqual([
      `Queue "${queue.name}" has DelaySeconds 9, and must have 0: it would hold back every message.`,
    ]);
    expect(await failureOf(driver.admin.apply(topologyOf(queue), soon()))).toMatchObject({ message: said[0] });
  });
});

describe('on LocalEmu', () => {
  serverTest('verify names topics, bindings and policies that are missing', async () => {
    const queue = boundQueue();
    const topic = queue.bindings[0]?.topic.name;
    const driver = openDriver(localemu.options());
    expect(await driver.verify(topologyOf(queue), soon())).toEqual(
      expect.arrayContaining([
        `Topic "${topic}" does not exist.`,
        `Queue "${queue.name}" is not bound to "a" of topic "${topic}".`,
      ]),
    );
    await driver.admin.apply(topologyOf(queue), soon());
    const QueueUrl = await urlOf(driver.client, queue.name);
    await driver.client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { Policy: '' } }));
    const closed = `The policy of queue "${queue.name}" does not let topic "${topic}" send to it.`;
    expect(await driver.verify(topologyOf(queue), soon())).toEqual([closed]);
    expect(await driver.admin.apply(topologyOf(queue), soon())).toEqual([
      `Allowed ${arnOf('sns', String(topic))} to send to queue "${queue.name}".`,
    ]);
    expect(await driver.verify(topologyOf(queue), soon())).toEqual([]);
  });

  serverTest('a bus that may only verify rejects with all that is missing', async () => {
    const Told = defineEvent('story.told', z.object({}), { topic: uniqueName('stories') });
    const queue = defineQueue(uniqueName('listeners'), { handles: [Told] });
    const driver = openDriver(localemu.options());
    const bus = createBus({ driver, source: '/integration', uses: [queue] });
    onTestFinished(() => bus.close({ deadlineMs: 2_000 }));
    const refused = await failureOf(bus.provision('verify'));
    expect(refused).toMatchObject({ code: 'NOT_FOUND' });
    expect(String(refused)).toContain(`Queue "${queue.name}_dead" does not exist.`);
    expect(String(refused)).toContain(`is not bound to "story.told"`);
  });

  const find: PolicyStatement = { Effect: 'Allow', Action: 'sqs:GetQueueUrl', Resource: '*' };
  serverTest('what may not be looked at is not reported as missing', async () => {
    const queue = boundQueue(true);
    const topology = await applied(queue);
    const credentials = await localemu.server().createUser([find]);
    const driver = openDriver({ ...localemu.options(), credentials });
    expect(await driver.verify(topology, soon())).toEqual([]);
    const missing = topologyOf(aQueue());
    expect(await driver.verify(missing, soon())).toHaveLength(3);
  });

  serverTest('without the right to find queues verify rejects', async () => {
    const topology = await applied(boundQueue());
    const credentials = await localemu.server().createUser([]);
    const refused = await failureOf(openDriver({ ...localemu.options(), credentials }).verify(topology, soon()));
    expect(refused).toMatchObject({ code: 'PERMISSION_DENIED' });
  });
});
