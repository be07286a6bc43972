import { SendMessageCommand } from '@aws-sdk/client-sqs';
import type { Delivery, OutgoingMessage, Queue, Subscription, Topic, Topology } from '@waybill/core/driver';
import { WaybillError } from '@waybill/core/driver';
import type { SqsDriver, SqsOptions } from '@waybill/sqs';
import { describe, expect } from 'vitest';

import type { PolicyStatement } from '../../src/index.ts';
import {
  aQueue,
  arnOf,
  aTopic,
  failureOf,
  openDriver,
  localemu,
  serverTest,
  soon,
  topologyOf,
  urlOf,
} from './admin-kit.ts';

/** Where a mode is tried: a queue of its own that is bound to a topic of its own. */
interface Place {
  readonly topic: Topic;
  readonly queue: Queue;
  readonly topology: Topology;
  readonly arns: Record<'topic' | 'work' | 'dead' | 'delay' | 'all', string>;
}

/** Actions by what they are allowed on. `all`: AWS knows no resource for the action. */
type Grants = Partial<Record<keyof Place['arns'], readonly string[]>>;

interface Mode {
  readonly mode: string;
  readonly grants: Grants;
  /** Rejects when a right is missing. */
  readonly run: (driver: SqsDriver, place: Place) => Promise<void>;
  /** Rights that are missed later, or that it does without: nothing is refused at once. */
  readonly untold?: readonly string[];
  /** Whether it begins without the topology. */
  readonly isFirst?: boolean;
  /** Beside the user's credentials. */
  readonly options?: SqsOptions;
  /** Whether its queue is ordered and its topic has keys. */
  readonly ordered?: boolean;
}

function placeFor({ ordered = false }: Mode): Place {
  const topic = aTopic(ordered);
  const queue = aQueue(ordered, [{ topic, types: ['note.taken'] }]);
  const end = ordered ? '.fifo' : '';
  const arns = {
    topic: arnOf('sns', `${topic.name}${end}`),
    work: arnOf('sqs', `${queue.name}${end}`),
    dead: arnOf('sqs', `${queue.name}_dead${end}`),
    delay: arnOf('sqs', `${queue.name}_delay`),
    all: '*',
  };
  return { topic, queue, topology: topologyOf(queue), arns };
}

let messages = 0;

function message(target: OutgoingMessage['target'], more: Partial<OutgoingMessage> = {}): OutgoingMessage {
  messages += 1;
  const body = Buffer.from('{}');
  return {
    target,
    id: `m-${messages}`,
    type: 'note.taken',
    contentType: 'application/json',
    body,
    headers: {},
    ...more,
  };
}

function workOf({ queue }: Place): OutgoingMessage['target'] {
  return { queue: queue.name, lane: 'work' };
}

function deadOf({ queue }: Place): OutgoingMessage['target'] {
  return { queue: queue.name, lane: 'dead' };
}

async function one(subscription: Subscription): Promise<Delivery> {
  const [delivery] = await subscription.receive(1, soon());
  if (delivery === undefined) throw new Error('Nothing came.');
  return delivery;
}

async function several(subscription: Subscription, count: number): Promise<readonly Delivery[]> {
  const deliveries: Delivery[] = [];
  while (deliveries.length < count) deliveries.push(...(await subscription.receive(count, soon())));
  return deliveries;
}

async function subscribed(
  driver: SqsDriver,
  { queue }: Place,
  lane: 'work' | 'dead',
  use: (subscription: Subscription) => Promise<void>,
): Promise<void> {
  const subscription = await driver.subscribe(queue, lane, { maxInFlight: 10, onLost: () => undefined });
  try {
    await use(subscription);
  } finally {
    await subscription.close(Date.now() + 200);
  }
}

/** Without the rights to look at topics, verifying finds nothing wrong. */
async function publish(driver: SqsDriver, { topic }: Place): Promise<void> {
  expect(await driver.verify({ topics: [topic], queues: [] }, soon())).toEqual([]);
  await driver.send([message({ topic: topic.name })], soon());
}

/** Extends, releases and accepts what waits in the queue and in its delay queue, and stores retries and a dead letter. */
async function consume(driver: SqsDriver, place: Place): Promise<void> {
  await subscribed(driver, place, 'work', async (subscription) => {
    const first = await several(subscription, 2);
    await subscription.extend(first);
    await subscription.settle(first.map((delivery) => ({ delivery, action: 'release' })));
    const again = await several(subscription, 2);
    const notBefore = Date.now() + (place.queue.ordered ? 60_000 : 1_000_000);
    await driver.send([message(workOf(place), { key: 'k', notBefore })], soon());
    await driver.send([message(workOf(place), { key: 'k', notBefore: Date.now() - 1 })], soon());
    await driver.send([message(deadOf(place), { key: 'k' })], soon());
    await subscription.settle(again.map((delivery) => ({ delivery, action: 'accept' })));
    // Once nothing else comes it waits for what is delayed.
    while ((await subscription.receive(1, AbortSignal.timeout(700))).length > 0);
  });
}

async function list(driver: SqsDriver, { queue }: Place): Promise<void> {
  const { letters, after } = await driver.browse(queue, undefined, 10);
  expect(letters).toHaveLength(1);
  if (after !== undefined) await driver.browse(queue, after, 10);
}

async function redrive(driver: SqsDriver, place: Place): Promise<void> {
  await subscribed(driver, place, 'dead', async (subscription) => {
    await subscription.settle([{ delivery: await one(subscription), action: 'release' }]);
    const letter = await one(subscription);
    await subscription.extend([letter]);
    await driver.send([message(workOf(place), { key: 'k' })], soon());
    await subscription.settle([{ delivery: letter, action: 'accept' }]);
  });
}

const find = 'sqs:GetQueueUrl';
const send = [find, 'sqs:SendMessage'];
const take = [find, 'sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:ChangeMessageVisibility'];
const count = [find, 'sqs:GetQueueAttributes'];
const make = [find, 'sqs:GetQueueAttributes', 'sqs:CreateQueue'];
const makeTopic = ['sns:GetTopicAttributes', 'sns:CreateTopic', 'sns:Subscribe'];
const accountId = '000000000000';

const modes: readonly Mode[] = [
  {
    mode: 'publish',
    grants: { topic: ['sns:Publish'] },
    options: { accountId },
    run: publish,
  },
  {
    mode: 'publish without accountId',
    grants: { topic: ['sns:Publish'], all: ['sns:ListTopics'] },
    run: publish,
  },
  {
    mode: 'send',
    grants: { work: send },
    run: (driver, place) => driver.send([message(workOf(place))], soon()),
  },
  {
    mode: 'send with a delay beyond 15 minutes',
    grants: { work: [find], delay: send },
    run: (driver, place) => driver.send([message(workOf(place), { notBefore: Date.now() + 1_000_000 })], soon()),
  },
  {
    mode: 'consume',
    grants: { work: [...take, 'sqs:SendMessage'], dead: send, delay: [...take, 'sqs:SendMessage'] },
    run: consume,
  },
  {
    mode: 'consume in order',
    grants: {
      work: [...take, 'sqs:SendMessage'],
      dead: send,
      delay: [find, 'sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:SendMessage'],
    },
    // A message that was moved and not deleted is moved again once its lease is over.
    untold: ['sqs:DeleteMessage on delay'],
    run: consume,
    ordered: true,
  },
  {
    mode: 'list dead letters',
    grants: { dead: [find, 'sqs:ReceiveMessage', 'sqs:ChangeMessageVisibility', 'sqs:GetQueueAttributes'] },
    // What was listed stays hidden until its lease is over; it does not wait for what others hold.
    untold: ['sqs:ChangeMessageVisibility on dead', 'sqs:GetQueueAttributes on dead'],
    run: list,
  },
  { mode: 'redrive', grants: { dead: take, work: send }, run: redrive },
  {
    mode: 'depth',
    grants: { work: count, dead: count, delay: count },
    run: async (driver, { queue }) => void (await driver.admin.depth(queue)),
  },
  {
    mode: 'purge the queue',
    grants: { work: [find, 'sqs:PurgeQueue'], delay: [find, 'sqs:PurgeQueue'] },
    run: (driver, { queue }) => driver.admin.purge(queue, 'work'),
  },
  {
    mode: 'purge its dead letters',
    grants: { dead: [find, 'sqs:PurgeQueue'] },
    run: (driver, { queue }) => driver.admin.purge(queue, 'dead'),
  },
  {
    mode: 'start with verify',
    grants: { work: [find], dead: [find], delay: [find] },
    run: async (driver, { topology }) => expect(await driver.verify(topology, soon())).toEqual([]),
  },
  {
    mode: 'start with create, the first time',
    grants: { work: make, dead: make, delay: make, topic: makeTopic },
    isFirst: true,
    options: { accountId },
    run: async (driver, { topology }) => void (await driver.admin.apply(topology, soon())),
  },
  {
    mode: 'start with create, again',
    grants: {
      work: count,
      dead: count,
      delay: count,
      topic: ['sns:GetTopicAttributes', 'sns:ListSubscriptionsByTopic'],
      all: ['sns:GetSubscriptionAttributes'],
    },
    run: async (driver, { topology }) => expect(await driver.admin.apply(topology, soon())).toEqual([]),
  },
  {
    mode: 'start with create, with one type and one topic more',
    grants: {
      work: [...count, 'sqs:SetQueueAttributes'],
      dead: [...count, 'sqs:SetQueueAttributes'],
      delay: count,
      topic: ['sns:GetTopicAttributes', 'sns:ListSubscriptionsByTopic', 'sns:CreateTopic', 'sns:Subscribe'],
      all: ['sns:GetSubscriptionAttributes', 'sns:SetSubscriptionAttributes'],
    },
    run: async (driver, { queue, topic }) => {
      const more = { name: `${topic.name}-more`, keyed: false };
      const bindings = [
        { topic, types: ['note.taken', 'note.lost'] },
        { topic: more, types: ['a'] },
      ];
      await driver.admin.apply(topologyOf({ ...queue, bindings }), soon());
    },
  },
];

function statementsOf({ arns }: Place, grants: Grants): readonly PolicyStatement[] {
  return Object.entries(grants)
    .filter(([, actions]) => actions.length > 0)
    .map(([name, Action]) => {
      const arn = arns[name as keyof Grants];
      // `topic` and `topic-more`.
      return { Effect: 'Allow', Action, Resource: name === 'topic' ? [arn, `${arn}-more`] : arn };
    });
}

/** The grants without one action, for each that is missed at once. */
function lesserGrants({ grants, untold = [] }: Mode): readonly { readonly without: string; readonly lesser: Grants }[] {
  const lesser = Object.entries(grants).flatMap(([name, actions]) =>
    actions.map((action) => ({
      without: `${action} on ${name}`,
      lesser: { ...grants, [name]: actions.filter((other) => other !== action) },
    })),
  );
  return lesser.filter(({ without }) => !untold.includes(without));
}

/** A place as the mode needs it, with a message in each lane. */
async function prepared(mode: Mode): Promise<Place> {
  const place = placeFor(mode);
  const driver = openDriver(localemu.options());
  if (mode.isFirst === true) return place;
  await driver.admin.apply(place.topology, soon());
  await driver.send([message(workOf(place), { key: 'k' }), message(deadOf(place), { key: 'k' })], soon());
  // It is due: nothing says until when it waits.
  const QueueUrl = await urlOf(driver.client, `${place.queue.name}_delay`);
  await driver.client.send(new SendMessageCommand({ QueueUrl, MessageBody: '{}' }));
  return place;
}

async function runAs(mode: Mode, place: Place, grants: Grants): Promise<void> {
  const credentials = await localemu.server().createUser(statementsOf(place, grants));
  await mode.run(openDriver({ ...localemu.options(), ...mode.options, credentials }), place);
}

describe.each(modes.map((mode) => [mode.mode, mode] as const))('to %s', (_, mode) => {
  serverTest('the rights in the documentation are enough', async () => {
    await runAs(mode, await prepared(mode), mode.grants);
  });

  serverTest.each(lesserGrants(mode).map(({ without, lesser }) => [without, lesser] as const))(
    'without %s it is refused',
    async (_without, lesser) => {
      const place = await prepared(mode);
      const refused = await failureOf(runAs(mode, place, lesser));
      expect(WaybillError.is(refused) ? refused.code : refused).toBe('PERMISSION_DENIED');
    },
  );
});
