/** Why a message is a dead letter. */
export type DeadReason =
  | 'handler-failed'
  | 'rejected'
  | 'timed-out'
  | 'undecodable'
  | 'invalid'
  | 'unknown-type'
  | 'unknown-version'
  | 'crash-loop'
  | 'expired';

/** The error of the last attempt, as text. */
export interface FailureText {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
}

/** What copies of a message carry in the one header `waybill`; a first delivery carries none. */
export interface Bookkeeping {
  /** The attempt that this copy is for, from 1. */
  readonly attempt: number;
  readonly queue: string;
  readonly topic?: string;
  /** Epoch ms; only where one hop of the broker cannot wait that long. */
  readonly notBefore?: number;
  readonly redrives?: number;
  /** Moves that were no attempt: hops of a long delay, waits for a newer process. */
  readonly hops?: number;
  /** Epoch ms of the first hand-out to a process that did not know the type or version. */
  readonly unknownSince?: number;
  readonly firstFailedAt?: number;
  readonly error?: FailureText;
  /** Dead letters only. */
  readonly reason?: string;
  readonly deadAt?: number;
  /** Names a message that has no readable envelope. */
  readonly id?: string;
}

export const BOOKKEEPING_HEADER = 'waybill';
const LARGEST_ERROR = 1024;
const LARGEST_STACK = 2048;
const LONGEST_NAME = 100;

/** ASCII only, so that every broker carries it unchanged; at most 4 KiB. */
export function writeBookkeeping(bookkeeping: Bookkeeping): string {
  return ascii(JSON.stringify(bookkeeping));
}

/** Undefined for a first delivery, and for a header that is not ours. */
export function readBookkeeping(header: string | undefined): Bookkeeping | undefined {
  if (header === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(header);
    if (typeof value !== 'object' || value === null || !('attempt' in value)) return undefined;
    return Number.isInteger(value.attempt) && (value.attempt as number) >= 1 ? (value as Bookkeeping) : undefined;
  } catch {
    return undefined;
  }
}

/** What was thrown, cut to what the header has room for: 1 KiB, a stack of 2 KiB more. */
export function failureText(thrown: unknown, withStack: boolean): FailureText {
  const error = thrown instanceof Error ? thrown : new Error(textOf(thrown));
  // Anything may be thrown, also an Error whose members are not text.
  const name = cut(textOf(error.name), LONGEST_NAME);
  const text = { name, message: cut(textOf(error.message), LARGEST_ERROR - 2 * LONGEST_NAME) };
  return withStack && typeof error.stack === 'string' ? { ...text, stack: cut(error.stack, LARGEST_STACK) } : text;
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  try {
    return JSON.stringify(value) ?? typeof value;
  } catch {
    return 'a value that has no text';
  }
}

/** Cuts to a number of bytes as the header spends them: escaped and quoted. */
function cut(text: string, bytes: number): string {
  let spent = 0;
  for (let index = 0; index < text.length; index += 1) {
    spent += headerBytes(text.charCodeAt(index));
    if (spent > bytes) return text.slice(0, index);
  }
  return text;
}

function ascii(json: string): string {
  return json.replaceAll(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function headerBytes(code: number): number {
  if (code > 126 || code < 32) return 6;
  return code === 34 || code === 92 ? 2 : 1;
}
