import { setMaxListeners } from 'node:events';
import { BatchError, type OutgoingMessage, untilAborted, WaybillError } from '@waybill/core/driver';
import { chunksOf, roundsOf } from './sqs-chunks.ts';
import type { SqsClients } from './sqs-client.ts';
import { type Answer, type Destination, SqsDestinations } from './sqs-destinations.ts';
import { entryError, sendError } from './sqs-error.ts';
import { missing, type SqsLookup } from './sqs-lookup.ts';
import { type Settings, SNS_MAX_BYTES } from './sqs-options.ts';
import { type SqsEntry, toSqsEntry } from './to-sqs-message.ts';

/** With its place in the batch. */
interface Item extends SqsEntry {
  readonly index: number;
}

type Failures = Map<number, WaybillError>;

interface Run {
  readonly failures: Failures;
  /** Groups of FIFO destinations of which one was not stored. */
  readonly stopped: Set<string>;
  readonly signal: AbortSignal;
}

interface Address {
  readonly destination: Destination;
  readonly address: string;
}

interface Refusal {
  readonly to: Address;
  readonly failure: WaybillError;
}

interface Part {
  readonly destination: Destination;
  readonly items: Item[];
}

/** What a copy's bookkeeping takes at most. The core keeps that free, but not of what base64 adds to a body. */
const COPY_BYTES = 8_192;

/** Sends batches of up to 10 to each topic and queue that a batch is for, side by side. */
export class SqsPublisher {
  readonly #lookup: SqsLookup;
  readonly #destinations: SqsDestinations;
  readonly #maxBytes: number;

  constructor(clients: SqsClients, lookup: SqsLookup, settings: Pick<Settings, 'maxMessageBytes'>) {
    this.#lookup = lookup;
    this.#destinations = new SqsDestinations(clients, lookup);
    this.#maxBytes = settings.maxMessageBytes;
  }

  /** Resolves once all are stored; rejects with a BatchError of exactly those that are not, or may not be (TIMEOUT). */
  async send(batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> {
    const failures: Failures = new Map();
    // Each request listens to the signal: to this one any number may.
    const cancel = new AbortController();
    setMaxListeners(0, cancel.signal);
    const onAbort = (): void => cancel.abort(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const run = { failures, stopped: new Set<string>(), signal: cancel.signal };
      const parts = await this.#partsOf(batch, run);
      await Promise.all(parts.map((part) => this.#sendPart(part, run)));
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
    if (failures.size === 0) return;
    const inOrder = [...failures].toSorted(([a], [b]) => a - b).map(([index, error]) => ({ index, error }));
    throw new BatchError(inOrder, batch.length);
  }

  async #partsOf(batch: readonly OutgoingMessage[], { failures, signal }: Run): Promise<readonly Part[]> {
    const kinds = await this.#kindsOf(batch, signal);
    const now = Date.now();
    const parts = new Map<string, Part>();
    for (const [index, message] of batch.entries()) {
      const isFifo = kinds.get(nameOf(message));
      if (WaybillError.is(isFifo)) {
        failures.set(index, isFifo);
        continue;
      }
      const destination = this.#destinations.of(message, isFifo === true, now);
      const entry = toSqsEntry(message, destination, now);
      const refusal = this.#refusalOf(message, entry, destination);
      if (refusal === undefined) partOf(parts, destination).items.push({ ...entry, index });
      else failures.set(index, refusal);
    }
    return [...parts.values()];
  }

  async #kindsOf(
    batch: readonly OutgoingMessage[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, boolean | WaybillError>> {
    const firsts = new Map(batch.map((message) => [nameOf(message), message]));
    const asked = [...firsts].map(async ([name, message]): Promise<[string, boolean | WaybillError]> => {
      const kind = untilAborted(this.#destinations.isFifo(message), signal, 'look up where messages go');
      return [name, await kind.catch((error: unknown) => unsent(sendError(error, 'store a message')))];
    });
    return new Map(await Promise.all(asked));
  }

  #refusalOf(
    { id, headers }: OutgoingMessage,
    entry: SqsEntry,
    { isTopic, entity }: Destination,
  ): WaybillError | undefined {
    const isFirst = headers['waybill'] === undefined;
    const spared = isFirst && entry.attributes['encoding']?.StringValue === 'base64' ? COPY_BYTES : 0;
    const most = (isTopic ? Math.min(SNS_MAX_BYTES, this.#maxBytes) : this.#maxBytes) - spared;
    if (entry.bytes <= most) return undefined;
    const size = `${entry.bytes} bytes with its attributes, and ${most} are allowed`;
    return new WaybillError('TOO_LARGE', `Could not store message "${id}" in "${entity}": it has ${size}. Send less.`);
  }

  async #sendPart({ destination, items }: Part, run: Run): Promise<void> {
    let address: string;
    try {
      address = await this.#destinations.addressOf(destination, run.signal);
    } catch (error) {
      const failure = unsent(sendError(error, `store messages in "${destination.entity}"`));
      for (const { index } of items) run.failures.set(index, failure);
      return;
    }
    const to = { destination, address };
    for (const round of destination.isFifo ? roundsOf(items) : [items]) {
      await this.#putRound(round, to, run);
    }
  }

  /** In FIFO nothing of a group is sent behind one that was not stored. */
  async #putRound(round: readonly Item[], to: Address, run: Run): Promise<void> {
    const most = to.destination.isTopic ? SNS_MAX_BYTES : Math.max(SNS_MAX_BYTES, this.#maxBytes);
    const going: Item[] = [];
    for (const item of round) {
      if (item.group !== undefined && run.stopped.has(`${to.address} ${item.group}`)) {
        run.failures.set(item.index, behindFailed(to.destination.entity));
      } else going.push(item);
    }
    await Promise.all(chunksOf(going, most).map((chunk) => this.#put(chunk, to, run)));
    if (run.failures.size === 0) return;
    for (const { index, group } of going) {
      if (group !== undefined && run.failures.has(index)) run.stopped.add(`${to.address} ${group}`);
    }
  }

  async #put(chunk: readonly Item[], to: Address, run: Run): Promise<void> {
    const attempted = `store messages in "${to.destination.entity}"`;
    if (run.signal.aborted) {
      const failure = unsent(new WaybillError('TIMEOUT', `Could not ${attempted} in time.`));
      for (const { index } of chunk) run.failures.set(index, failure);
      return;
    }
    let answer: Answer;
    try {
      answer = await this.#destinations.put(to.destination, to.address, chunk, run.signal);
    } catch (error) {
      await this.#refused(chunk, { to, failure: sendError(error, attempted) }, run);
      return;
    }
    const { Failed = [], Successful = [] } = answer;
    for (const entry of Failed) {
      const item = chunk[Number(entry.Id)];
      if (item !== undefined) run.failures.set(item.index, entryError(entry, attempted));
    }
    if (Failed.length + Successful.length >= chunk.length) return;
    const told = new Set([...Failed, ...Successful].map(({ Id }) => Number(Id)));
    const untold = new WaybillError('TIMEOUT', `Could not ${attempted}: the answer does not mention all of them.`);
    for (const [place, { index }] of chunk.entries()) if (!told.has(place)) run.failures.set(index, untold);
  }

  async #refused(chunk: readonly Item[], { to, failure }: Refusal, run: Run): Promise<void> {
    if (failure.code === 'TOO_LARGE' && chunk.length > 1) {
      // This server takes less in one request than AWS does.
      await Promise.all(chunk.map((item) => this.#put([item], to, run)));
      return;
    }
    const { entity, isTopic } = to.destination;
    const isMissing = failure.code === 'NOT_FOUND';
    if (isMissing) this.#lookup.forget(entity);
    const told = isMissing ? missing(isTopic ? 'Topic' : 'Queue', entity, failure) : failure;
    for (const { index } of chunk) run.failures.set(index, told);
  }
}

function nameOf({ target }: OutgoingMessage): string {
  return 'topic' in target ? `topic ${target.topic}` : `queue ${target.queue}`;
}

function partOf(parts: Map<string, Part>, destination: Destination): Part {
  const name = `${destination.isTopic} ${destination.entity}`;
  let part = parts.get(name);
  if (part === undefined) parts.set(name, (part = { destination, items: [] }));
  return part;
}

/** What a look-up met says nothing about what was never sent. */
function unsent(failure: WaybillError): WaybillError {
  if (failure.code !== 'TIMEOUT') return failure;
  return new WaybillError('UNAVAILABLE', `${failure.message} Nothing was sent.`, { cause: failure });
}

function behindFailed(entity: string): WaybillError {
  return new WaybillError(
    'UNAVAILABLE',
    `Could not store a message in "${entity}": not sent, because an earlier one of its key was not stored.`,
  );
}
