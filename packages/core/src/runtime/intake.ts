import type { Contract } from '../contract/contract.ts';
import { allOf, type Awaitable, chain, isPromise } from '../contract/validate.ts';
import type { Clock } from '../driver/clock.ts';
import type { Delivery } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import { decode } from '../envelope/decode.ts';
import { type Bookkeeping, BOOKKEEPING_HEADER, readBookkeeping } from '../failure/bookkeeping.ts';
import type { Codec } from './middleware.ts';
import { type Decoded, type Poison, Task } from './task.ts';

export interface IntakeOptions {
  /** Of what comes for the first time. */
  readonly fresh: Bookkeeping;
  readonly ordered: boolean;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly codec: Codec | undefined;
  readonly clock: Clock;
}

/** A task for each delivery, not read yet. */
export function tasksOf({ fresh, clock }: IntakeOptions, deliveries: readonly Delivery[]): readonly Task[] {
  const now = clock.now();
  return deliveries.map((delivery) => {
    const bookkeeping = readBookkeeping(delivery.headers[BOOKKEEPING_HEADER]) ?? fresh;
    return new Task(delivery, bookkeeping, now);
  });
}

/** Reads what was delivered, in its order; later where a codec is asynchronous. Nothing that a body holds makes it throw. */
export function readTasks(options: IntakeOptions, tasks: readonly Task[]): Awaitable<unknown> {
  const { codec } = options;
  if (codec === undefined) {
    for (const task of tasks) become(options, task, read(options, task.delivery));
    return undefined;
  }
  const reading = tasks.map((task) =>
    chain(undo(codec, task.delivery), (plain) =>
      become(options, task, 'poison' in plain ? plain : read(options, plain)),
    ),
  );
  return reading.some(isPromise) ? allOf(reading) : undefined;
}

/** What crosses the wire, without what codecs did to it. */
export type Plain = Pick<Delivery, 'contentType' | 'body' | 'headers'>;

/** A delivery as it was before the codec; poison where the codec fails. */
export function undo(codec: Codec, delivery: Delivery): Awaitable<Plain | { readonly poison: Poison }> {
  const { contentType, headers } = delivery;
  const failed = (cause: unknown): { readonly poison: Poison } => {
    const said = cause instanceof Error ? cause.message : typeof cause;
    const error = new WaybillError('INVALID_MESSAGE', `The codec could not decode: ${said}`, { cause });
    return { poison: { reason: 'undecodable', error } };
  };
  try {
    const body = codec.decode(delivery.body, headers);
    if (!isPromise(body)) return { contentType, headers, body };
    return Promise.resolve(body).then((bytes) => ({ contentType, headers, body: bytes }), failed);
  } catch (cause) {
    return failed(cause);
  }
}

function read({ contracts }: IntakeOptions, plain: Plain): Decoded {
  try {
    const message = decode(plain);
    const { type } = message;
    const { version } = message.metadata;
    const contract = contracts.get(type);
    if (contract === undefined) {
      const error = new WaybillError(
        'INVALID_MESSAGE',
        `Nothing here handles the type "${type}": deploy consumers first.`,
      );
      return { message, poison: { reason: 'unknown-type', error } };
    }
    if (version <= contract.version) return { message };
    const known = `this process knows 1 to ${contract.version}: deploy consumers first`;
    const error = new WaybillError('UNKNOWN_VERSION', `"${type}" has version ${version}; ${known}.`);
    return { message, poison: { reason: 'unknown-version', error } };
  } catch (cause) {
    const error = WaybillError.is(cause)
      ? cause
      : new WaybillError('INVALID_MESSAGE', 'The message cannot be decoded.', { cause });
    return { poison: { reason: 'undecodable', error } };
  }
}

function become({ ordered, contracts }: IntakeOptions, task: Task, { message, poison }: Decoded): void {
  task.message = message;
  task.poison = poison;
  if (ordered) task.chainKey = chainKeyOf(task, contracts);
}

// Order is per key and topic; a message that cannot be read has only what the broker knows of it.
function chainKeyOf({ delivery, message }: Task, contracts: ReadonlyMap<string, Contract>): string {
  const contract = message === undefined ? undefined : contracts.get(message.type);
  const topic = contract !== undefined && 'topic' in contract ? String(contract.topic) : '';
  return `${topic}\0${message?.metadata.key ?? delivery.key ?? message?.metadata.id ?? delivery.position}`;
}
