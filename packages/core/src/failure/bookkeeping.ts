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
const LONGEST_TEXT = 200;

/** ASCII only, so that every broker carries it unchanged; at most 4 KiB. */
export function writeBookkeeping(bookkeeping: Bookkeeping): string {
  return ascii(JSON.stringify(bookkeeping));
}

/** Undefined for a first delivery, and for a header that is not ours. Others may have written to it: what does not fit is dropped. */
export function readBookkeeping(header: string | undefined): Bookkeeping | undefined {
  if (header === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(header);
    if (typeof value !== 'object' || value === null) return undefined;
    const attempt = get(value, 'attempt');
    return isCount(attempt) && attempt >= 1 ? checked(value) : undefined;
  } catch {
    return undefined;
  }
}

/** What was thrown, cut to what the header has room for: 1 KiB, a stack of 2 KiB more. Anything may be thrown. */
export function failureText(thrown: unknown, withStack: boolean): FailureText {
  const isError = typeof thrown === 'object' && thrown !== null && 'message' in thrown;
  const name = cut(isError ? textOf(() => get(thrown, 'name')) : 'Error', LONGEST_NAME);
  const message = textOf(() => (isError ? get(thrown, 'message') : thrown));
  const stack = isError && withStack ? textOf(() => get(thrown, 'stack')) : undefined;
  const text = { name, message: cut(message, LARGEST_ERROR - 2 * LONGEST_NAME) };
  return stack === undefined ? text : { ...text, stack: cut(stack, LARGEST_STACK) };
}

const COUNTS = ['attempt', 'notBefore', 'redrives', 'hops', 'unknownSince', 'firstFailedAt', 'deadAt'] as const;
const TEXTS = ['queue', 'topic', 'reason', 'id'] as const;

function checked(value: object): Bookkeeping {
  const kept: Record<string, unknown> = { attempt: 1, queue: '' };
  for (const name of COUNTS) {
    const count = get(value, name);
    if (isCount(count)) kept[name] = count;
  }
  for (const name of TEXTS) {
    const text = get(value, name);
    if (typeof text === 'string') kept[name] = cut(text, LONGEST_TEXT);
  }
  const error = get(value, 'error');
  if (typeof error === 'object' && error !== null && typeof get(error, 'message') === 'string') {
    kept['error'] = failureText(error, typeof get(error, 'stack') === 'string');
  }
  return kept as unknown as Bookkeeping;
}

function get(value: object, name: string): unknown {
  return (value as Readonly<Record<string, unknown>>)[name];
}

/** Counts and epoch ms alike. */
function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function textOf(read: () => unknown): string {
  try {
    const value = read();
    return typeof value === 'string' ? value : (JSON.stringify(value) ?? typeof value);
  } catch {
    return 'a value that has no text';
  }
}

/** Cuts to a number of bytes as the header spends them: escaped and quoted. */
function cut(text: string, bytes: number): string {
  let spent = 0;
  for (let index = 0; index < text.length; index += 1) {
    spent += headerBytes(text.charCodeAt(index));
    if (spent > bytes) return text.slice(0, isPairEnd(text, index) ? index - 1 : index);
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

/** Cut before it, half a character would be left. */
function isPairEnd(text: string, index: number): boolean {
  const code = text.charCodeAt(index);
  return code >= 0xdc00 && code <= 0xdfff;
}
