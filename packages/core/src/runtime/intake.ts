import type { Contract } from '../contract/contract.ts';
import { allOf, type Awaitable, chain, isPromise } from '../contract/validate.ts';
import type { Clock } from '../driver/clock.ts';
import type { Delivery } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import { decode } from '../envelope/decode.ts';
import { BOOKKEEPING_HEADER, readBookkeeping } from '../failure/bookkeeping.ts';
import type { Codec } from './middleware.ts';
import { type Decoded, Task } from './task.ts';

export interface IntakeOptions {
  readonly queue: string;
  readonly ordered: boolean;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly codec: Codec | undefined;
  readonly clock: Clock;
}

/** Turns deliveries into tasks, in their order. Nothing that a body holds makes it throw. */
export function readDeliveries(options: IntakeOptions, deliveries: readonly Delivery[]): Awaitable<readonly Task[]> {
  const { codec } = options;
  if (codec === undefined) return deliveries.map((delivery) => taskOf(options, delivery, read(options, delivery)));
  const tasks = deliveries.map((delivery) =>
    chain(undo(codec, delivery), (plain) =>
      taskOf(options, delivery, 'poison' in plain ? plain : read(options, plain)),
    ),
  );
  return tasks.some(isPromise) ? allOf(tasks) : (tasks as readonly Task[]);
}

type Plain = Pick<Delivery, 'contentType' | 'body' | 'headers'>;

function undo(codec: Codec, delivery: Delivery): Awaitable<Plain | Extract<Decoded, { readonly poison: unknown }>> {
  const { contentType, headers } = delivery;
  const failed = (cause: unknown) =>
    ({
      poison: {
        reason: 'undecodable',
        error: new WaybillError('INVALID_MESSAGE', `The codec could not decode: ${String(cause)}`, { cause }),
      },
    }) as const;
  try {
    const body = codec.decode(delivery.body, headers);
    return isPromise(body)
      ? Promise.resolve(body).then((bytes) => ({ contentType, headers, body: bytes }), failed)
      : { contentType, headers, body };
  } catch (cause) {
    return failed(cause);
  }
}

function read({ contracts }: IntakeOptions, plain: Plain): Decoded {
  try {
    const message = decode(plain);
    const contract = contracts.get(message.type);
    if (contract === undefined) {
      const error = new WaybillError(
        'INVALID_MESSAGE',
        `Nothing here handles the type "${message.type}": deploy consumers first.`,
      );
      return { message, poison: { reason: 'unknown-type', error } };
    }
    if (Number.isInteger(message.metadata.version) && message.metadata.version > contract.version) {
      const error = new WaybillError(
        'UNKNOWN_VERSION',
        `"${message.type}" has version ${message.metadata.version}; this process knows 1 to ${contract.version}: deploy consumers first.`,
      );
      return { message, poison: { reason: 'unknown-version', error } };
    }
    return { message };
  } catch (cause) {
    const error = WaybillError.is(cause)
      ? cause
      : new WaybillError('INVALID_MESSAGE', 'The message cannot be decoded.', { cause });
    return { poison: { reason: 'undecodable', error } };
  }
}

function taskOf({ queue, ordered, contracts, clock }: IntakeOptions, delivery: Delivery, decoded: Decoded): Task {
  const bookkeeping = readBookkeeping(delivery.headers[BOOKKEEPING_HEADER]) ?? { attempt: 1, queue };
  const chainKey = ordered ? chainKeyOf(delivery, decoded, contracts) : undefined;
  return new Task(delivery, decoded, { bookkeeping, chainKey, now: clock.now() });
}

// Order is per key and topic; a message that cannot be read has only what the broker knows of it.
function chainKeyOf(delivery: Delivery, decoded: Decoded, contracts: ReadonlyMap<string, Contract>): string {
  const message = 'message' in decoded ? decoded.message : undefined;
  const contract = message === undefined ? undefined : contracts.get(message.type);
  const topic = contract !== undefined && 'topic' in contract ? String(contract.topic) : '';
  return `${topic}\0${message?.metadata.key ?? delivery.key ?? message?.metadata.id ?? delivery.position}`;
}
