import type { Bus } from '@waybill/core';
import { desk, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';

/** A delayed send, and when it was handled. */
export interface Delayed {
  readonly id: string;
  readonly delayMs: number;
  readonly calledAt: number;
  readonly storedAt: number;
}

/** Clocks of two processes, and timers. */
const TOLERANCE_MS = 50;
/** What an idle queue may add to what the driver declares. */
const IDLE_MS = 1_000;

/** Sends `each` messages for every delay, in the order of `delaysMs`. */
export async function sendDelayed(
  bus: Bus,
  delaysMs: readonly number[],
  each: number,
  name = 'delayed',
): Promise<readonly Delayed[]> {
  const sends = delaysMs.flatMap((delayMs) =>
    Array.from({ length: each }, async (_, index) => {
      const id = `${name}-${delayMs}-${index}`;
      const calledAt = Date.now();
      await bus.send(desk, Work, { n: delayMs * 100 + index }, { id, delayMs });
      return { id, delayMs, calledAt, storedAt: Date.now() };
    }),
  );
  return Promise.all(sends);
}

/** How late a message may come, where nothing was there to take it before `readyAt`. */
export function latestAt(kit: Kit, { calledAt, storedAt, delayMs }: Delayed, readyAt = 0): number {
  return Math.max(calledAt + delayMs, storedAt, readyAt) + kit.capabilities.delayErrorMs + IDLE_MS;
}

/** Handled once, not before its time and not after `latest`. */
export function checkArrival(
  kit: Kit,
  { id, calledAt, delayMs }: Delayed,
  arrivedAt: readonly number[],
  latest: number,
): void {
  const [at] = arrivedAt;
  kit.check(at !== undefined && arrivedAt.length === 1, `${id} is handled once, not ${arrivedAt.length} times`, [id]);
  const waited = at - calledAt;
  kit.check(waited >= delayMs - TOLERANCE_MS, `${id} comes not before ${delayMs} ms, and came after ${waited}`, [id]);
  kit.check(at <= latest, `${id} comes by ${latest - calledAt} ms, and came after ${waited}`, [id]);
}

/** When the worker processes handled it. */
export function handledAt(kit: Kit, id: string): readonly number[] {
  return kit.reports.filter((report) => report.id === id && report.what === 'handled').map(({ at }) => at);
}

export async function allArrived(kit: Kit, sent: readonly Delayed[], withinMs: number): Promise<void> {
  const all = (): boolean => {
    const handled = new Set(kit.reports.filter(({ what }) => what === 'handled').map(({ id }) => id));
    return sent.every(({ id }) => handled.has(id));
  };
  await kit.eventually('all delayed messages are handled', all, withinMs);
}
