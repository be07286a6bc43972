import { BatchError, type BatchFailure, type OutgoingMessage, untilAborted, WaybillError } from '@waybill/core/driver';
import type { ClientProducer, KafkaClient, OutgoingRecord } from './client/port.ts';
import { toKafkaMessage } from './to-kafka-message.ts';

/** As many as {@link Driver.limits} has calls open. */
export const PRODUCERS = 2;

interface Part {
  readonly records: OutgoingRecord[];
  /** Of the batch. */
  readonly indices: number[];
}

/** Sends over producers that each have one call open, and replaces those that failed. */
export class KafkaPublisher {
  readonly #client: KafkaClient;
  readonly #idle: ClientProducer[] = [];
  readonly #waiting: ((producer: ClientProducer) => void)[] = [];
  #made = 0;
  /** Topics that a failed call had records for: they go alone, so that one that is refused does not hold up others. */
  readonly #doubted = new Set<string>();

  constructor(client: KafkaClient) {
    this.#client = client;
  }

  async send(batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> {
    const now = Date.now();
    const failures: BatchFailure[] = [];
    for (const part of this.#parts(batch.map((message) => toKafkaMessage(message, now)))) {
      for (const [index, error] of await this.#sendPart(part, signal)) {
        failures.push({ index: part.indices[index] as number, error });
      }
    }
    if (failures.length > 0)
      throw new BatchError(
        failures.toSorted((a, b) => a.index - b.index),
        batch.length,
      );
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#idle.splice(0).map((producer) => producer.close()));
  }

  #parts(records: readonly OutgoingRecord[]): readonly Part[] {
    const parts = new Map<string, Part>();
    for (const [index, record] of records.entries()) {
      const name = this.#doubted.has(record.topic) ? record.topic : '';
      let part = parts.get(name);
      if (part === undefined) parts.set(name, (part = { records: [], indices: [] }));
      part.records.push(record);
      part.indices.push(index);
    }
    return [...parts.values()];
  }

  async #sendPart({ records }: Part, signal: AbortSignal): Promise<ReadonlyMap<number, WaybillError>> {
    const producer = await this.#take(signal);
    if (producer === undefined) return allOf(records, notSent('in time', signal.reason));
    const sending = producer.send(records);
    const settled = await untilAborted(sending, signal, 'store messages').catch(
      (error: unknown) => error as WaybillError,
    );
    if (settled instanceof Map && settled.size === 0) {
      this.#give(producer);
      for (const { topic } of this.#doubted.size === 0 ? [] : records) this.#doubted.delete(topic);
      return settled;
    }
    this.#replace(producer, sending);
    const topics = new Set(records.map(({ topic }) => topic));
    for (const topic of topics) this.#doubted.add(topic);
    const failures = WaybillError.is(settled)
      ? await this.#explain(records, settled)
      : (settled as ReadonlyMap<number, WaybillError>);
    const isTooLarge = [...failures.values()].some(({ code }) => code === 'TOO_LARGE');
    return isTooLarge && records.length > 1 ? this.#oneByOne(records, signal) : failures;
  }

  /** The broker says of a batch that something in it is too large, and not what. */
  async #oneByOne(records: readonly OutgoingRecord[], signal: AbortSignal): Promise<ReadonlyMap<number, WaybillError>> {
    const failures = new Map<number, WaybillError>();
    for (const [index, record] of records.entries()) {
      const failure = (await this.#sendPart({ records: [record], indices: [0] }, signal)).get(0);
      if (failure !== undefined) failures.set(index, failure);
    }
    return failures;
  }

  /** Nothing was sent. Of a topic that does not exist, the others need not hear. */
  async #explain(records: readonly OutgoingRecord[], cause: WaybillError): Promise<ReadonlyMap<number, WaybillError>> {
    const topics = new Set(records.map(({ topic }) => topic));
    if (cause.code === 'PERMISSION_DENIED' && topics.size > 1)
      return allOf(records, notSent('together with others', cause));
    if (cause.code !== 'NOT_FOUND') return allOf(records, cause);
    const known = await this.#client.admin.partitions(records.map(({ topic }) => topic)).catch(() => undefined);
    const failures = new Map<number, WaybillError>();
    for (const [index, { topic }] of records.entries()) {
      const exists = known?.has(topic) ?? true;
      const missing = new WaybillError('NOT_FOUND', `Topic "${topic}" does not exist. Apply the topology.`, { cause });
      failures.set(index, exists ? notSent('together with others', cause) : missing);
    }
    return failures;
  }

  #take(signal: AbortSignal): Promise<ClientProducer | undefined> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return Promise.resolve(idle);
    if (this.#made < PRODUCERS) {
      this.#made += 1;
      return Promise.resolve(this.#client.producer());
    }
    return new Promise((resolve) => {
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(give), 1);
        resolve(undefined);
      };
      const give = (producer: ClientProducer): void => {
        signal.removeEventListener('abort', onAbort);
        resolve(producer);
      };
      if (signal.aborted) return resolve(undefined);
      this.#waiting.push(give);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #give(producer: ClientProducer): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(producer);
    else next(producer);
  }

  /** What it has open may yet be stored; its successor is another producer to the broker, with numbers of its own. */
  #replace(producer: ClientProducer, sending: Promise<unknown>): void {
    const close = (): void => void producer.close().catch(() => undefined);
    sending.then(close, close);
    const next = this.#waiting.shift();
    if (next === undefined) this.#made -= 1;
    else next(this.#client.producer());
  }
}

function allOf(records: readonly OutgoingRecord[], error: WaybillError): ReadonlyMap<number, WaybillError> {
  return new Map(records.map((_, index) => [index, error]));
}

function notSent(why: string, cause: unknown): WaybillError {
  return new WaybillError('UNAVAILABLE', `Could not store messages ${why}: nothing was sent.`, { cause });
}
