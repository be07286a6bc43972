import { WaybillError } from '@waybill/core/driver';
import kafkajs, { type Kafka, type Message, type Producer, type TopicMessages } from 'kafkajs';
import { toWaybillError } from '../kafka-error.ts';
import type { ClientProducer, OutgoingRecord } from './port.ts';

/** A message as kafkajs takes it, with the partition that it was given. */
interface Placed extends Message {
  placed: number;
}

const ALL_REPLICAS = -1;

/**
 * Idempotent, with one open send at a time: with two, one that times out has kafkajs give the other's sequence number
 * twice, and the broker takes the second for a repetition. What a send says is checked against what was sent: it resolves
 * without those whose partition moved to another node meanwhile.
 */
export class KafkajsProducer implements ClientProducer {
  readonly #producer: Producer;
  readonly #timeoutMs: number;
  #connected: Promise<void> | undefined;
  #placing = false;

  constructor(kafka: Kafka, timeoutMs: number) {
    const choose = kafkajs.Partitioners.DefaultPartitioner();
    this.#producer = kafka.producer({
      idempotent: true,
      allowAutoTopicCreation: false,
      // None: what a repeated send says covers what the first one left out. kafkajs refuses 0 for an idempotent producer.
      retry: { retries: Number.NaN },
      metadataMaxAge: 60_000,
      createPartitioner: () => (args) => {
        this.#placing = true;
        return ((args.message as Placed).placed = choose(args));
      },
    });
    this.#timeoutMs = timeoutMs;
  }

  async send(records: readonly OutgoingRecord[]): Promise<ReadonlyMap<number, WaybillError>> {
    this.#placing = false;
    const placed: Placed[] = [];
    const topicMessages = group(records, placed);
    try {
      await (this.#connected ??= this.#producer.connect());
      const stored = await this.#producer.sendBatch({ acks: ALL_REPLICAS, timeout: this.#timeoutMs, topicMessages });
      const covered = new Set(stored.map(({ topicName, partition }) => `${topicName}/${partition}`));
      return missingFrom(covered, records, placed);
    } catch (error) {
      const cause = toWaybillError(error, `store messages in ${topicMessages.map(({ topic }) => topic).join(', ')}`);
      if (!this.#placing) throw cause;
      const failure = topicMessages.length === 1 && isRefusal(cause) ? cause : unknownOutcome(cause);
      return new Map(records.map((_, index) => [index, failure]));
    }
  }

  async close(): Promise<void> {
    await this.#connected?.catch(() => undefined);
    await this.#producer.disconnect();
  }
}

function group(records: readonly OutgoingRecord[], placed: Placed[]): TopicMessages[] {
  const topics = new Map<string, Placed[]>();
  for (const { topic, key, value, headers, timestamp } of records) {
    const message: Placed = {
      key,
      value,
      // Written anew by kafkajs, never changed.
      headers,
      placed: -1,
      ...(timestamp === undefined ? {} : { timestamp: String(timestamp) }),
    };
    placed.push(message);
    const list = topics.get(topic);
    if (list === undefined) topics.set(topic, [message]);
    else list.push(message);
  }
  return [...topics].map(([topic, messages]) => ({ topic, messages }));
}

function missingFrom(
  covered: ReadonlySet<string>,
  records: readonly OutgoingRecord[],
  placed: readonly Placed[],
): ReadonlyMap<number, WaybillError> {
  const failures = new Map<number, WaybillError>();
  for (const [index, { topic }] of records.entries()) {
    const place = `${topic}/${placed[index]?.placed}`;
    if (covered.has(place)) continue;
    failures.set(
      index,
      new WaybillError('UNAVAILABLE', `Could not store messages in ${place}: it moved to another node.`),
    );
  }
  return failures;
}

/** Of one topic, the broker took nothing. Of several, the others may have been taken. */
function isRefusal({ code }: WaybillError): boolean {
  return code === 'TOO_LARGE' || code === 'INVALID_MESSAGE' || code === 'PERMISSION_DENIED';
}

/** One partition refused, or nobody answered: kafkajs does not say what became of the others. */
function unknownOutcome(cause: WaybillError): WaybillError {
  return new WaybillError('TIMEOUT', `${cause.message} Whether they are stored is not known.`, { cause });
}
