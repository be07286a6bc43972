import type { Session } from '@waybill/conformance';
import { expect, test } from 'vitest';

import { RabbitmqSession } from '../src/conformance/rabbitmq-session.ts';
import { attachRabbitmq, type Rabbitmq } from '../src/index.ts';

// Which nodes have a fault; that it is one for real is shown by `rabbitmq/cluster.test.ts`.
async function openOn(count: number, calls: string[]): Promise<Session> {
  const urls = Array.from({ length: count }, (_, index) => `amqp://127.0.0.1:${index + 1}`);
  const given = attachRabbitmq({ urls, version: 'unknown', containerIds: [] });
  let starting = 0;
  const nodes = given.nodes.map((node, index) => {
    const note = (what: string) => async () => void calls.push(`${what} ${index + 1}`);
    const start = async (): Promise<void> => {
      starting += 1;
      await Promise.resolve();
      calls.push(`start ${index + 1}, ${starting} start`);
    };
    return { ...node, kill: note('kill'), pause: note('pause'), unpause: note('unpause'), start };
  });
  const leader = async (queue: string): Promise<Rabbitmq['nodes'][number]> => {
    calls.push(`who leads ${queue}`);
    return nodes[1] ?? expect.fail();
  };
  const rabbitmq: Rabbitmq = { ...given, nodes, leaderOf: leader, saveQueues: async () => void calls.push('save') };
  return RabbitmqSession.open({ rabbitmq });
}

/** Nobody is there: that it is about to be made is known all the same. */
async function makeQueue(session: Session): Promise<void> {
  const driver = session.createDriver();
  const topology = { topics: [], queues: [{ name: 'desk', ordered: false, bindings: [] }] };
  await expect(driver.admin?.apply(topology, AbortSignal.timeout(1_000))).rejects.toMatchObject({
    name: 'WaybillError',
  });
  await driver.close(Date.now() + 1_000);
}

test('a broker that is killed has no node left, and they start together', async () => {
  const calls: string[] = [];
  const { faults } = await openOn(3, calls);
  await faults.kill?.();
  expect(calls.splice(0)).toEqual(['save', 'kill 1', 'kill 2', 'kill 3']);
  await faults.start?.();
  expect(calls).toEqual(['start 1, 3 start', 'start 2, 3 start', 'start 3, 3 start']);
});

test('a node that is killed leads what the session made, and alone starts again', async () => {
  const calls: string[] = [];
  const session = await openOn(3, calls);
  await expect(session.faults.kill?.('node')).rejects.toThrow('makes a queue');
  await makeQueue(session);
  await session.faults.kill?.('node');
  await session.faults.start?.();
  await session.faults.start?.();
  expect(calls).toEqual(['who leads desk', 'kill 2', 'start 2, 1 start']);
});

test('the only node is the broker', async () => {
  const calls: string[] = [];
  const { faults } = await openOn(1, calls);
  await faults.kill?.('node');
  expect(calls).toEqual(['save', 'kill 1']);
});

test('a broker that is paused has no node that answers', async () => {
  const calls: string[] = [];
  const { faults } = await openOn(3, calls);
  await faults.pause?.(true);
  await faults.pause?.(false);
  expect(calls).toEqual(['pause 1', 'pause 2', 'pause 3', 'unpause 1', 'unpause 2', 'unpause 3']);
});
