import { describe, expect, test } from 'vitest';
import {
  missingTypes,
  queueAttributes,
  queueDifferences,
  subscriptionAttributes,
  subscriptionDifferences,
} from '../src/sqs-attributes.ts';

const deadArn = 'arn:aws:sqs:eu-central-1:000000000000:q_dead';
const wanted = { deadArn, maxMessageBytes: 262_144 };
const standard = { entity: 'q', fifo: false, isWork: true, dead: 'q_dead' };
const fifo = { entity: 'q.fifo', fifo: true, isWork: true, dead: 'q_dead.fifo' };

describe('a queue', () => {
  test('that is made has no difference', () => {
    for (const queue of [standard, fifo]) {
      expect(queueDifferences(queue, queueAttributes(queue, wanted), wanted)).toEqual([]);
    }
  });

  test('is made with the longest retention, and gives up after 100 receives', () => {
    expect(queueAttributes(standard, wanted)).toEqual({
      MessageRetentionPeriod: '1209600',
      DelaySeconds: '0',
      VisibilityTimeout: '30',
      ReceiveMessageWaitTimeSeconds: '0',
      RedrivePolicy: `{"deadLetterTargetArn":"${deadArn}","maxReceiveCount":100}`,
    });
  });

  test('that is FIFO is made for many keys at once', () => {
    expect(queueAttributes(fifo, wanted)).toMatchObject({
      FifoQueue: 'true',
      ContentBasedDeduplication: 'false',
      DeduplicationScope: 'messageGroup',
      FifoThroughputLimit: 'perMessageGroupId',
    });
  });

  test('is made for large messages only when they are asked for', () => {
    expect(queueAttributes(standard, wanted)).not.toHaveProperty('MaximumMessageSize');
    const large = { ...wanted, maxMessageBytes: 262_145 };
    expect(queueAttributes(standard, large)).toMatchObject({ MaximumMessageSize: '1048576' });
  });

  test.each([
    ['MessageRetentionPeriod', '345600', 'has MessageRetentionPeriod 345600, and must have 1209600: it would lose'],
    ['DelaySeconds', '5', 'has DelaySeconds 5, and must have 0'],
    ['ContentBasedDeduplication', 'true', 'has ContentBasedDeduplication true, and must have false'],
    ['DeduplicationScope', 'queue', 'has DeduplicationScope queue, and must have messageGroup'],
    ['FifoThroughputLimit', 'perQueue', 'has FifoThroughputLimit perQueue, and must have perMessageGroupId'],
    ['MaximumMessageSize', '65536', 'takes messages of 65536 bytes, and maxMessageBytes is 262144'],
    ['RedrivePolicy', '', 'has no redrive policy, and must give up to "q_dead.fifo" after 100 receives'],
    [
      'RedrivePolicy',
      '{"deadLetterTargetArn":"arn:aws:sqs:eu-central-1:000000000000:other","maxReceiveCount":3}',
      'gives up to "other" after 3 receives, and must give up to "q_dead.fifo" after 100 receives',
    ],
  ])('with another %s (%s) is told in one sentence with both values', (name, value, sentence) => {
    const found = { ...queueAttributes(fifo, wanted), [name]: value };
    const problems = queueDifferences(fifo, found, wanted);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`Queue "q.fifo" ${sentence}`);
  });

  test('may take larger messages, and hide or wait for as long as it likes', () => {
    const found = { ...queueAttributes(standard, wanted), MaximumMessageSize: '1048576', VisibilityTimeout: '600' };
    expect(queueDifferences(standard, { ...found, ReceiveMessageWaitTimeSeconds: '20' }, wanted)).toEqual([]);
  });

  test('whose server does not tell a setting has no difference there', () => {
    const { DeduplicationScope: _, FifoThroughputLimit: __, ...found } = queueAttributes(fifo, wanted);
    expect(queueDifferences(fifo, found, wanted)).toEqual([]);
  });
});

describe('a subscription', () => {
  const subscription = { topic: 't', queue: 'q', types: ['a', 'b'], dead: 'q_dead' };
  const made = subscriptionAttributes(subscription.types, deadArn);

  test('that is made has no difference and lacks no type', () => {
    expect(subscriptionDifferences(subscription, made, deadArn)).toEqual([]);
    expect(missingTypes(subscription, made)).toEqual([]);
  });

  test('with more types is no difference', () => {
    const found = { ...made, FilterPolicy: '{"type":["z","b"]}' };
    expect(subscriptionDifferences(subscription, found, deadArn)).toEqual([]);
    expect(missingTypes(subscription, found)).toEqual(['a']);
  });

  test.each([
    ['RawMessageDelivery', 'false', 'has RawMessageDelivery false, and must have true'],
    ['FilterPolicy', '{"store":["a"]}', 'has the filter {"store":["a"]}, and must list types as {"type":["…"]}'],
    ['FilterPolicy', undefined, 'has the filter none, and must list types'],
    ['FilterPolicyScope', 'MessageBody', 'has the filter of bodies {"type":["a","b"]}, and must list types'],
    ['RedrivePolicy', undefined, 'has no queue for what SNS cannot deliver, and must give up to "q_dead"'],
    ['RedrivePolicy', '{"deadLetterTargetArn":"arn:x:other"}', 'gives up to "other", and must give up to "q_dead"'],
  ])('with another %s (%s) is told in one sentence', (name, value, sentence) => {
    const problems = subscriptionDifferences(subscription, { ...made, [name]: value }, deadArn);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`The subscription of queue "q" to topic "t" ${sentence}`);
  });
});
