import { once } from 'node:events';
import type { HandlerContext } from '@waybill/core';
import { afterAll, afterEach, beforeAll, expect, onTestFinished } from 'vitest';

import { eventually, type Rabbitmq, type RabbitmqNode, startRabbitmq } from '../../src/index.ts';
import { archive, ledger, Noted, notes, Placed } from '../bus/contracts.ts';
import {
  type BusUnderTest,
  codesOf,
  Journal,
  missing,
  openBus,
  outcomeOf,
  type SendOutcome,
  sendMany,
  statusesOf,
  storedIds,
  takeIds,
  uniquePrefix,
} from '../bus/kit.ts';
import { openClient, publish } from '../client.ts';
import { containerTest, hasContainers } from '../shared.ts';

let cluster: Rabbitmq;
const dead = new Set<RabbitmqNode>();

beforeAll(async () => {
  if (hasContainers) cluster = await startRabbitmq({ nodes: 3 });
});
afterEach(bringBack);
afterAll(async () => {
  await cluster?.stop();
});

async function kill(...nodes: readonly RabbitmqNode[]): Promise<void> {
  for (const node of nodes) dead.add(node);
  await Promise.all(nodes.map((node) => node.kill()));
}

/** All at the same time: one alone would wait for the others. */
async function bringBack(): Promise<void> {
  const nodes = [...dead];
  dead.clear();
  await Promise.all(nodes.map((node) => node.start()));
}

const others = (node: RabbitmqNode): readonly RabbitmqNode[] => cluster.nodes.filter(({ name }) => name !== node.name);

interface Scene {
  readonly bus: BusUnderTest;
  readonly journal: Journal;
  /** It leads the queue that is consumed. */
  readonly leader: RabbitmqNode;
}

interface SceneOptions {
  readonly sendTimeoutMs?: number;
  /** What its handlers do. */
  readonly work?: (data: unknown, context: HandlerContext) => unknown;
}

/** Has the broker give back after 3 s, not 60, what a consumer holds on a node that is gone. */
async function giveBackSoon({ bus, leader }: Pick<Scene, 'bus' | 'leader'>): Promise<void> {
  const policy = JSON.stringify({ 'consumer-disconnected-timeout': 3_000 });
  const names = `^${bus.prefix}`;
  await leader.exec(['rabbitmqctl', 'set_policy', '--apply-to', 'quorum_queues', bus.prefix, names, policy]);
}

/** Comes to no end before a message is handed out again, or the handler is told that it has it no longer. */
async function endlessAtFirst(_: unknown, { redelivered, signal }: HandlerContext): Promise<void> {
  if (redelivered) return;
  await once(signal, 'abort');
  throw new Error('never done');
}

/** A bus that consumes `notes`, on the node that leads it or first on another one; `archive` keeps what was stored. */
async function openScene(on: 'leader' | 'other', { sendTimeoutMs = 40_000, work }: SceneOptions = {}): Promise<Scene> {
  const prefix = uniquePrefix();
  const uses = [notes, archive];
  await openBus(cluster.urls, { prefix, uses }).provision('create');
  const leader = await cluster.leaderOf(`${prefix}.notes`);
  const nodes = on === 'leader' ? [leader, ...others(leader)] : [...others(leader), leader];
  const urls = nodes.map(({ url }) => url);
  const bus = openBus(urls, { prefix, uses, sendTimeoutMs });
  const journal = new Journal();
  await bus.consume(notes, { 'note.taken': journal.handler(work) }, { concurrency: 32 });
  return { bus, journal, leader };
}

/** Publishes so many and has `fault` at the 600th; resolves once both are over. */
async function publishThrough(
  { bus }: Scene,
  count: number,
  fault: () => Promise<void>,
): Promise<readonly SendOutcome[]> {
  let faulted: Promise<void> | undefined;
  const outcomes = await sendMany(
    count,
    250,
    (n, id) => bus.publish(Noted, { n }, { id }),
    (done) => {
      if (done === 600) faulted = fault();
    },
  );
  await faulted;
  return outcomes;
}

/**
 * RabbitMQ 4.3 keeps what it handed out to a consumer on a node that is gone for that consumer, 60 s by default:
 * https://www.rabbitmq.com/docs/quorum-queues
 */
const RETURNED_WITHIN_MS = 60_000 + 30_000;

async function expectHandled(
  journal: Journal,
  outcomes: readonly SendOutcome[],
  withinMs = RETURNED_WITHIN_MS,
): Promise<void> {
  await eventually(() => expect(missing(storedIds(outcomes), journal.distinct)).toEqual([]), { withinMs });
}

/** All that was stored is handled and in the other queue, and nothing is left of it. All nodes are there. */
async function expectNothingLost(scene: Scene, outcomes: readonly SendOutcome[]): Promise<void> {
  const { bus, journal } = scene;
  await expectHandled(scene.journal, outcomes);
  await eventually(() => expect(bus.health()).toMatchObject({ status: 'up', publisher: { pending: 0 } }));
  await eventually(async () => expect(await bus.depth(notes)).toMatchObject({ ready: 0, deadLettered: 0 }));
  const stored = await takeIds(cluster.url, `${bus.prefix}.archive`);
  expect(missing(storedIds(outcomes), stored)).toEqual([]);
  // A crash repeats an attempt and counts none.
  expect(journal.runs.filter(({ attempt }) => attempt > 1)).toEqual([]);
}

containerTest('a cluster has three nodes, and what one confirmed the next ones have', async () => {
  expect(cluster.nodes).toHaveLength(3);
  for (const node of cluster.nodes) {
    const status = await node.exec(['rabbitmqctl', '--quiet', 'cluster_status', '--formatter', 'json']);
    const { running_nodes: running } = JSON.parse(status) as { readonly running_nodes: readonly string[] };
    expect(running.toSorted()).toEqual(cluster.nodes.map(({ name }) => name));
  }
  const [first, , last] = await Promise.all(cluster.urls.map((url) => openClient(url)));
  if (first === undefined || last === undefined) expect.fail();
  await publish(first, 'everywhere');
  const message = await eventually(async () => await last.channel.get(first.queue, { noAck: true }));
  expect(message).toMatchObject({ content: Buffer.from('everywhere') });
});

containerTest(
  'the leader of a queue is another one once it is killed, and the node takes part again',
  { timeout: 120_000 },
  async () => {
    const client = await openClient(cluster.url);
    const leader = await cluster.leaderOf(client.queue);
    await kill(leader);
    const withinMs = 40_000;
    await eventually(async () => expect((await cluster.leaderOf(client.queue)).name).not.toBe(leader.name), {
      withinMs,
    });
    await bringBack();
    const next = await cluster.leaderOf(client.queue);
    await publish({ ...(await openClient(leader.url)), queue: client.queue }, 'after');
    await kill(next);
    const [survivor] = others(next);
    const { channel } = await openClient(survivor?.url ?? '');
    const message = await eventually(() => channel.get(client.queue, { noAck: true }), { withinMs });
    expect(message).toMatchObject({ content: Buffer.from('after') });
  },
);

containerTest(
  'a publisher and a consumer on the node that leads their queue go on with another when it is killed',
  { timeout: 200_000 },
  async () => {
    const scene = await openScene('leader');
    const outcomes = await publishThrough(scene, 2_500, () => kill(scene.leader));
    expect(codesOf(outcomes)).toEqual({ stored: 2_500 });
    expect(statusesOf(scene.bus)).toContain('down');
    await expectHandled(scene.journal, outcomes);
    await bringBack();
    await expectNothingLost(scene, outcomes);
  },
);

containerTest(
  'what a consumer holds on a node that is killed comes back after the time that a policy sets',
  { timeout: 120_000 },
  async () => {
    const scene = await openScene('leader', { work: endlessAtFirst });
    const { bus, journal } = scene;
    await giveBackSoon(scene);
    const outcomes = await sendMany(5, 5, (n, id) => bus.publish(Noted, { n }, { id }));
    await eventually(() => expect(journal.runs).toHaveLength(5));
    await kill(scene.leader);
    await expectHandled(journal, outcomes, RETURNED_WITHIN_MS / 2);
    expect(journal.runs.filter(({ ok }) => ok)).toHaveLength(5);
    expect(journal.runs.filter(({ attempt }) => attempt > 1)).toEqual([]);
  },
);

containerTest(
  'an ordered queue goes on in order once what its consumer held on a node that is killed is back',
  { timeout: 120_000 },
  async () => {
    const options = { prefix: uniquePrefix(), uses: [ledger] };
    await openBus(cluster.urls, options).provision('create');
    const leader = await cluster.leaderOf(`${options.prefix}.ledger`);
    const bus = openBus([leader.url], options);
    const beside = openBus(
      others(leader).map(({ url }) => url),
      options,
    );
    await giveBackSoon({ bus, leader });
    const journal = new Journal();
    const handlers = (label: string, work?: typeof endlessAtFirst) => ({
      'order.placed': journal.handler(work, label),
      'order.paid': () => undefined,
    });
    await bus.consume(ledger, handlers('first', endlessAtFirst));
    await bus.publish(Placed, { key: 'a', n: 0 });
    await eventually(() => expect(journal.runs).toHaveLength(1));
    await beside.consume(ledger, handlers('beside'));
    await kill(leader);
    for (const n of [1, 2, 3]) await beside.publish(Placed, { key: 'a', n });
    const started = (): readonly unknown[] => journal.runs.map(({ label, data: { n } }) => [label, n]);
    const inOrder = [0, 1, 2, 3].map((n) => ['beside', n]);
    await eventually(() => expect(started()).toEqual([['first', 0], ...inOrder]), { withinMs: RETURNED_WITHIN_MS / 2 });
  },
);

containerTest(
  'a publisher and a consumer on another node notice no more than a delay when the leader of their queue is killed',
  { timeout: 200_000 },
  async () => {
    const scene = await openScene('other');
    const outcomes = await publishThrough(scene, 2_500, () => kill(scene.leader));
    expect(codesOf(outcomes)).toEqual({ stored: 2_500 });
    expect(statusesOf(scene.bus)).not.toContain('down');
    await expectHandled(scene.journal, outcomes);
    await bringBack();
    await expectNothingLost(scene, outcomes);
  },
);

containerTest('nodes that restart one after the other lose nothing', { timeout: 240_000 }, async () => {
  const scene = await openScene('leader');
  const outcomes: SendOutcome[] = [];
  let restarting = true;
  let next = 0;
  const publishUntilOver = async (): Promise<void> => {
    while (restarting) {
      const n = next++;
      outcomes.push(await outcomeOf(`m${n}`, () => scene.bus.publish(Noted, { n }, { id: `m${n}` })));
    }
  };
  const publishing = Array.from({ length: 4 }, publishUntilOver);
  for (const node of cluster.nodes) await node.restart();
  restarting = false;
  await Promise.all(publishing);
  expect(codesOf(outcomes)).toEqual({ stored: outcomes.length });
  await expectNothingLost(scene, outcomes);
});

containerTest(
  'a minority stores nothing and loses nothing: what waits long enough is stored once the others are back',
  { timeout: 200_000 },
  async () => {
    const scene = await openScene('leader');
    const hasty = openBus([scene.leader.url], {
      prefix: scene.bus.prefix,
      uses: [notes, archive],
      sendTimeoutMs: 3_000,
    });
    const before = await sendMany(200, 50, (n, id) => scene.bus.publish(Noted, { n }, { id }));
    expect(codesOf(before)).toEqual({ stored: 200 });
    await hasty.publish(Noted, { n: 200 }, { id: 'm200' });
    await kill(...others(scene.leader));
    let over = false;
    const patient = Promise.all(
      [0, 1, 2].map((n) => outcomeOf(`patient${n}`, () => scene.bus.publish(Noted, { n }, { id: `patient${n}` }))),
    ).finally(() => (over = true));
    const refused = await Promise.all(
      [0, 1, 2].map((n) => outcomeOf(`hasty${n}`, () => hasty.publish(Noted, { n }, { id: `hasty${n}` }))),
    );
    expect(storedIds(refused)).toEqual([]);
    expect(over).toBe(false);
    await bringBack();
    const outcomes = [...before, ...(await patient)];
    expect(codesOf(outcomes)).toEqual({ stored: 203 });
    await expectNothingLost(scene, outcomes);
  },
);

containerTest(
  'a node that is cut off from the others confirms nothing, and goes on once it hears them again',
  { timeout: 200_000 },
  async () => {
    const alone = await openScene('leader', { sendTimeoutMs: 3_000 });
    const { leader } = alone;
    const beside = openBus(
      others(leader).map(({ url }) => url),
      { prefix: alone.bus.prefix, uses: [notes, archive] },
    );
    const publishOn = (bus: BusUnderTest, label: string): Promise<readonly SendOutcome[]> =>
      Promise.all(
        [0, 1, 2, 3, 4].map((n) => outcomeOf(`${label}${n}`, () => bus.publish(Noted, { n }, { id: `${label}${n}` }))),
      );
    const before = [...(await publishOn(alone.bus, 'before')), ...(await publishOn(beside, 'beside'))];
    await leader.cutOff(true);
    onTestFinished(() => leader.cutOff(false));
    const [unknown, meanwhile] = await Promise.all([publishOn(alone.bus, 'alone'), publishOn(beside, 'meanwhile')]);
    expect(codesOf(unknown)).toEqual({ TIMEOUT: 5 });
    expect(codesOf(meanwhile)).toEqual({ stored: 5 });
    await leader.cutOff(false);
    await eventually(() => alone.bus.publish(Noted, { n: 9 }, { id: 'after' }), { withinMs: 20_000 });
    await expectNothingLost(alone, [...before, ...meanwhile]);
  },
);
