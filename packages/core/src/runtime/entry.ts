import type { OutgoingMessage } from '../driver/driver.ts';
import { WaybillError, type WaybillErrorCode } from '../driver/errors.ts';
import type { Lane } from './lane.ts';

/** Whether a message may go out now: `wait` until the publisher is poked, `drop` for ever. */
export type Guard = () => 'go' | 'wait' | 'drop';

/** How a message without a deadline is kept: tried until it is stored or fails with a code in `final`. */
export interface Keep {
  readonly final: ReadonlySet<WaybillErrorCode>;
  readonly guard: Guard;
}

/** One message on its way to the broker. */
export class Entry {
  readonly message: OutgoingMessage;
  readonly bytes: number;
  /** Messages with the same one are stored in order. */
  readonly orderKey: string | undefined;
  readonly lane: Lane;
  /** Epoch ms; Infinity for the runtime's own copies, which are tried for ever. */
  readonly deadlineMs: number;
  readonly keep: Keep | undefined;
  readonly done: (error: unknown) => void;
  settled = false;
  /** In a call to the driver right now. */
  open = false;
  /** A call that held it ended without saying whether it was stored. */
  uncertain = false;
  failures = 0;
  /** Among those with a deadline. */
  place = -1;
  lastError: WaybillError | undefined;

  constructor(
    message: OutgoingMessage,
    place: {
      readonly lane: Lane;
      readonly orderKey: string | undefined;
      readonly deadlineMs: number;
      readonly keep: Keep | undefined;
    },
    done: (error: unknown) => void,
  ) {
    this.message = message;
    this.bytes = sizeOf(message);
    this.orderKey = place.orderKey;
    this.lane = place.lane;
    this.deadlineMs = place.deadlineMs;
    this.keep = place.keep;
    this.done = done;
  }

  /** Why its time ran out: TIMEOUT where it may be stored, else UNAVAILABLE. */
  expired(timeoutMs: number): WaybillError {
    const why = this.lastError === undefined ? '' : ` The broker said last: ${this.lastError.message}`;
    const options = { cause: this.lastError };
    return this.uncertain || this.open
      ? new WaybillError(
          'TIMEOUT',
          `${this.#subject} was not confirmed within ${timeoutMs} ms: it may be stored or not.${why}`,
          options,
        )
      : new WaybillError('UNAVAILABLE', `${this.#subject} was not stored within ${timeoutMs} ms.${why}`, options);
  }

  /** Why it ends with its publisher. */
  closed(): WaybillError {
    return this.uncertain || this.open
      ? new WaybillError(
          'TIMEOUT',
          `${this.#subject} was not confirmed before the bus closed: it may be stored or not.`,
        )
      : new WaybillError('CLOSED', `${this.#subject} was not stored: the bus is closed.`);
  }

  get #subject(): string {
    return `"${this.message.type}" (${this.message.id}) to ${destinationOf(this.message)}`;
  }
}

export function destinationOf({ target }: OutgoingMessage): string {
  return 'topic' in target
    ? `topic "${target.topic}"`
    : `queue "${target.queue}"${target.lane === 'dead' ? ' (dead)' : ''}`;
}

/** Body, headers and what brokers keep beside them. */
export function sizeOf(message: OutgoingMessage): number {
  let bytes = message.body.length + message.id.length + message.type.length + message.contentType.length;
  for (const name in message.headers) bytes += name.length + Buffer.byteLength(message.headers[name] ?? '');
  return bytes;
}

/** What ends a copy; after any other failure it, and only it, is tried again. */
export const FINAL_FOR_COPY: ReadonlySet<WaybillErrorCode> = new Set<WaybillErrorCode>(['TOO_LARGE', 'CLOSED']);
/** What ends a message that a handler sent: its attempt has failed. */
export const FINAL_FOR_SEND: ReadonlySet<WaybillErrorCode> = new Set<WaybillErrorCode>([
  ...FINAL_FOR_COPY,
  'NOT_FOUND',
  'INVALID_ARGUMENT',
  'INVALID_MESSAGE',
  'PERMISSION_DENIED',
  'UNSUPPORTED',
]);
