import { WaybillError } from '../driver/errors.ts';
import type { Capabilities, OutgoingMessage } from '../driver/driver.ts';
import type { Task } from '../runtime/task.ts';
import { BOOKKEEPING_HEADER, type Bookkeeping, type DeadReason, failureText, writeBookkeeping } from './bookkeeping.ts';
import { copyOf } from './copies.ts';

/** How a dead letter gets to its lane; later ways are tried where an earlier one is too large. */
export type DeadLetterWay =
  | { readonly kind: 'reject'; readonly headers: Readonly<Record<string, string>> }
  | { readonly kind: 'copy'; readonly message: OutgoingMessage };

/** The bookkeeping of a dead letter: everything that is known of why it is one. */
export function deadBookkeeping(task: Task, reason: DeadReason, thrown: unknown, now: number): Bookkeeping {
  const { notBefore: _, hops: __, unknownSince: ___, ...kept } = task.bookkeeping;
  return {
    ...kept,
    reason,
    deadAt: now,
    firstFailedAt: kept.firstFailedAt ?? now,
    error: failureText(thrown, true),
    ...(task.message === undefined ? { id: task.id } : {}),
  };
}

/**
 * The ways to the dead lane, best first. A message that was published with Waybill always fits with everything. One that
 * was not loses the stack, then the error's text, then goes natively; where that cannot be, it goes bare.
 */
export function deadLetterWays(
  task: Task,
  queue: string,
  bookkeeping: Bookkeeping,
  reject: Capabilities['reject'],
): readonly DeadLetterWay[] {
  if (reject === 'annotated') {
    return [{ kind: 'reject', headers: { [BOOKKEEPING_HEADER]: writeBookkeeping(bookkeeping) } }];
  }
  const forms = shrinking(bookkeeping);
  const target = { queue, lane: 'dead' } as const;
  const copies = forms.map((form): DeadLetterWay => ({
    kind: 'copy',
    message: copyOf(task, target, form, { key: task.delivery.key }),
  }));
  if (reject === 'bare') return [...copies, { kind: 'reject', headers: {} }];
  const bare = copyOf(task, target, bookkeeping, { key: task.delivery.key });
  return [...copies, { kind: 'copy', message: { ...bare, headers: task.delivery.headers } }];
}

/** Whether a failed way is worth the next one. */
export function isTooLarge(error: unknown): boolean {
  return WaybillError.is(error) && error.code === 'TOO_LARGE';
}

function shrinking(bookkeeping: Bookkeeping): readonly Bookkeeping[] {
  const { error, ...bare } = bookkeeping;
  if (error?.stack === undefined) return error === undefined ? [bare] : [bookkeeping, bare];
  return [bookkeeping, { ...bare, error: { name: error.name, message: error.message } }, bare];
}
