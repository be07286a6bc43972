import type { ListTopicsCommand } from '@aws-sdk/client-sns';
import { GetQueueAttributesCommand, GetQueueUrlCommand } from '@aws-sdk/client-sqs';
import { describe, expect, test } from 'vitest';
import type { SqsClients } from '../src/sqs-client.ts';
import { toWaybillError } from '../src/sqs-error.ts';
import { SqsLookup } from '../src/sqs-lookup.ts';

interface World {
  /** Names that exist. */
  queues: string[];
  topics: string[];
  region: string;
  isDown: boolean;
  readonly asked: string[];
}

function worldOf(more: Partial<World> = {}): World {
  return { queues: [], topics: [], region: 'eu-central-1', isDown: false, asked: [], ...more };
}

const PAGE = 2;

/** Stands for the SDK's clients, for an account that has this much in it. */
function clientsOf(world: World, hasTopics = true): SqsClients {
  const send = async (command: unknown): Promise<unknown> => {
    await Promise.resolve();
    if (world.isDown) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    if (command instanceof GetQueueUrlCommand) {
      const { QueueName = '' } = command.input;
      world.asked.push(`url ${QueueName}`);
      if (!world.queues.includes(QueueName)) throw Object.assign(new Error('no queue'), { name: 'QueueDoesNotExist' });
      return { QueueUrl: `http://sqs/000000000001/${QueueName}` };
    }
    if (command instanceof GetQueueAttributesCommand) {
      world.asked.push('attributes');
      return { Attributes: { QueueArn: `arn of ${command.input.QueueUrl}` } };
    }
    const { NextToken = '0' } = (command as ListTopicsCommand).input;
    world.asked.push(`topics ${NextToken}`);
    const from = Number(NextToken);
    const Topics = world.topics.slice(from, from + PAGE).map((name) => ({ TopicArn: `arn:aws:sns:r:2:${name}` }));
    const next = from + PAGE;
    return { Topics, ...(next < world.topics.length ? { NextToken: String(next) } : {}) };
  };
  const call = (attempted: string, run: () => Promise<unknown>): Promise<unknown> =>
    run().catch((error: unknown) => {
      throw toWaybillError(error, attempted);
    });
  const sqs = { send, config: { region: () => Promise.resolve(world.region) } };
  return { sqs, sns: hasTopics ? { send } : undefined, call } as unknown as SqsClients;
}

const nothing = { accountId: undefined };

describe('a queue', () => {
  test('is asked for once, however many want it', async () => {
    const world = worldOf({ queues: ['billing'] });
    const lookup = new SqsLookup(clientsOf(world), nothing);
    const urls = await Promise.all([
      lookup.queueUrl('billing'),
      lookup.queueUrl('billing'),
      lookup.queueArn('billing'),
    ]);
    expect(urls).toEqual([
      'http://sqs/000000000001/billing',
      'http://sqs/000000000001/billing',
      'arn of http://sqs/000000000001/billing',
    ]);
    await lookup.queueArn('billing');
    expect(world.asked).toEqual(['url billing', 'attributes']);
  });

  test('that is missing is named, and asked for again', async () => {
    const world = worldOf();
    const lookup = new SqsLookup(clientsOf(world), nothing);
    const message = 'Queue "billing" does not exist. Apply the topology.';
    await expect(lookup.queueUrl('billing')).rejects.toMatchObject({ code: 'NOT_FOUND', message });
    world.queues = ['billing'];
    await expect(lookup.queueUrl('billing')).resolves.toContain('billing');
  });

  test('that was forgotten is asked for again, as after an outage', async () => {
    const world = worldOf({ queues: ['billing'], isDown: true });
    const lookup = new SqsLookup(clientsOf(world), nothing);
    await expect(lookup.queueUrl('billing')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    world.isDown = false;
    await lookup.queueUrl('billing');
    lookup.forget('billing');
    await lookup.queueUrl('billing');
    expect(world.asked).toEqual(['url billing', 'url billing']);
  });

  test('is waited for until the signal of one that wants it aborts, and others get it', async () => {
    const lookup = new SqsLookup(clientsOf(worldOf({ queues: ['billing'] })), nothing);
    const aborted = lookup.queueUrl('billing', AbortSignal.abort());
    const other = lookup.queueUrl('billing');
    await expect(aborted).rejects.toMatchObject({ code: 'TIMEOUT' });
    await expect(other).resolves.toContain('billing');
  });

  test('is FIFO when only that exists', async () => {
    const world = worldOf({ queues: ['plain', 'ordered.fifo'] });
    const lookup = new SqsLookup(clientsOf(world), nothing);
    expect(await lookup.entityOf('plain')).toEqual({ ordered: false });
    expect(await lookup.entityOf('ordered')).toEqual({ ordered: true });
    const message = 'Queue "a_b" ("a.b") does not exist. Apply the topology.';
    await expect(lookup.entityOf('a.b')).rejects.toMatchObject({ code: 'NOT_FOUND', message });
    lookup.learnTopology({ topics: [], queues: [{ name: 'learned', ordered: true, bindings: [] }] });
    expect(await lookup.entityOf('learned')).toEqual({ ordered: true });
  });
});

describe('a topic', () => {
  test.each([
    ['eu-central-1', 'aws'],
    ['cn-north-1', 'aws-cn'],
    ['us-gov-west-1', 'aws-us-gov'],
  ])('in %s is named without being asked for where the account is known', async (region, partition) => {
    const world = worldOf({ region });
    const lookup = new SqsLookup(clientsOf(world), { accountId: '123456789012' });
    expect(await lookup.topicArn('orders')).toBe(`arn:${partition}:sns:${region}:123456789012:orders`);
    expect(world.asked).toEqual([]);
  });

  test('has the account of a queue', async () => {
    const lookup = new SqsLookup(clientsOf(worldOf({ queues: ['billing'] })), nothing);
    await lookup.queueUrl('billing');
    expect(await lookup.topicArn('orders')).toBe('arn:aws:sns:eu-central-1:000000000001:orders');
  });

  test('is looked for among all otherwise, by its whole name', async () => {
    const world = worldOf({ topics: ['a-orders', 'orders.fifo', 'b', 'c', 'orders'] });
    const lookup = new SqsLookup(clientsOf(world), nothing);
    expect(await lookup.topicArn('orders')).toBe('arn:aws:sns:r:2:orders');
    await lookup.topicArn('orders');
    expect(world.asked).toEqual(['topics 0', 'topics 2', 'topics 4']);
    const message = 'Topic "gone" does not exist. Apply the topology.';
    await expect(lookup.topicArn('gone')).rejects.toMatchObject({ code: 'NOT_FOUND', message });
  });

  test('is keyed when it is FIFO', async () => {
    const world = worldOf({ topics: ['x', 'parts.fifo', 'orders'] });
    const lookup = new SqsLookup(clientsOf(world), nothing);
    expect(await lookup.isKeyed('parts')).toBe(true);
    expect(await lookup.isKeyed('orders')).toBe(false);
    await expect(lookup.isKeyed('gone')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('is refused with the option topics: false', async () => {
    const lookup = new SqsLookup(clientsOf(worldOf(), false), { accountId: '123456789012' });
    await expect(lookup.topicArn('orders')).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    await expect(lookup.isKeyed('orders')).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });
});
