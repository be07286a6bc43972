// A stand-in for kafkajs' producer: when a partition moves between its choice and the request cannot be had on demand.
import kafkajs, { type Kafka, type PartitionMetadata, type ProducerBatch, type ProducerConfig } from 'kafkajs';
import { describe, expect, test } from 'vitest';
import { KafkajsProducer } from '../src/client/kafkajs-producer.ts';
import type { ClientProducer, KafkaClient, OutgoingRecord } from '../src/client/port.ts';
import { KafkaPublisher } from '../src/kafka-publisher.ts';
import { never } from './fake-kafka.ts';

const PARTITIONS = [0, 1, 2];
const partitionMetadata: PartitionMetadata[] = PARTITIONS.map((partitionId) => ({
  partitionErrorCode: 0,
  partitionId,
  leader: partitionId,
  replicas: [partitionId],
  isr: [partitionId],
}));

/** Takes each batch, and says nothing of the partition that is `moved`. */
function clientWithout(moved: () => number | undefined): Kafka {
  const producer = ({ createPartitioner }: ProducerConfig) => {
    const choose = (createPartitioner ?? kafkajs.Partitioners.DefaultPartitioner)();
    return {
      connect: () => Promise.resolve(),
      disconnect: () => Promise.resolve(),
      sendBatch: ({ topicMessages = [] }: ProducerBatch) => {
        const covered = topicMessages.flatMap(({ topic, messages }) =>
          [...new Set(messages.map((message) => choose({ topic, partitionMetadata, message })))]
            .filter((partition) => partition !== moved())
            .map((partition) => ({ topicName: topic, partition, errorCode: 0 })),
        );
        return Promise.resolve(covered);
      },
    };
  };
  return { producer } as unknown as Kafka;
}

const records: readonly OutgoingRecord[] = Array.from({ length: 30 }, (_, n) => ({
  topic: 'orders',
  key: `k${n}`,
  value: Buffer.from(String(n)),
  headers: {},
}));

/** The partition of each record. */
function places(): readonly number[] {
  const choose = kafkajs.Partitioners.DefaultPartitioner();
  return records.map(({ topic, key, value }) => choose({ topic, partitionMetadata, message: { key, value } }));
}

describe('an answer that says nothing of a partition', () => {
  test('fails exactly its messages, as not stored, so that they are sent again', async () => {
    const failures = await new KafkajsProducer(
      clientWithout(() => 1),
      1_000,
    ).send(records);
    const expected = places().flatMap((partition, index) => (partition === 1 ? [index] : []));
    expect(expected.length).toBeGreaterThan(0);
    expect([...failures.keys()]).toEqual(expected);
    for (const failure of failures.values()) expect(failure).toMatchObject({ code: 'UNAVAILABLE', retryable: true });
  });

  test('replaces the producer, and the repeated messages are stored', async () => {
    let moved: number | undefined = 1;
    let made = 0;
    const kafka = clientWithout(() => moved);
    const client = {
      producer: (): ClientProducer => {
        made += 1;
        return new KafkajsProducer(kafka, 1_000);
      },
    } as unknown as KafkaClient;
    const publisher = new KafkaPublisher(client);
    const batch = records.map(({ key }, n) => ({
      id: `m${n}`,
      type: 'order.placed',
      key: key ?? '',
      contentType: 'application/json',
      headers: {},
      body: Buffer.from('{}'),
      target: { topic: 'orders' },
    }));
    const expected = places().flatMap((partition, index) => (partition === 1 ? [index] : []));
    const error: unknown = await publisher.send(batch, never).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ failures: expected.map((index) => ({ index, error: { code: 'UNAVAILABLE' } })) });
    moved = undefined;
    await publisher.send(
      batch.filter((_, index) => expected.includes(index)),
      never,
    );
    expect(made).toBe(2);
  });
});
