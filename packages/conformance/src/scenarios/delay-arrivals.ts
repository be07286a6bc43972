import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus, Driver } from '@waybill/core';
import { desk, Noted, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import { wrapDriver } from '../wrap-driver.ts';
import { earlyMs } from './retry-helpers.ts';

/** A delayed send, and when it was handled. */
export interface Delayed {
  readonly id: string;
  readonly delayMs: number;
  readonly calledAt: number;
  readonly storedAt: number;
}

/** What an idle queue may add to what the driver declares. */
export const IDLE_MS = 1_000;

/** What is delayed by more than this takes several hops. */
export const CEILING_MS = 3_000;

/** `driver`, which declares no more than that: every one hops then. */
export const lowCeiling = (driver: Driver): Driver =>
  wrapDriver(driver, {
    capabilities: { ...driver.capabilities, maxDelayMs: Math.min(CEILING_MS, driver.capabilities.maxDelayMs) },
  });

/** A stored copy, and how far ahead it was asked for. */
export interface Asked {
  readonly id: string;
  readonly aheadMs: number;
}

/** `driver`, with how far ahead every delayed copy is asked for. */
export function watchDelays(driver: Driver, asked: Asked[]): Driver {
  return wrapDriver(driver, {
    async send(batch, signal) {
      const now = Date.now();
      for (const { id, notBefore = now } of batch) asked.push({ id, aheadMs: notBefore - now });
      await driver.send(batch, signal);
    },
  });
}

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
  kit.check(waited >= delayMs - earlyMs(kit), `${id} comes not before ${delayMs} ms, and came after ${waited}`, [id]);
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

/** Notes that wait in front of what becomes due, all the time. */
export class Backlog {
  readonly #bus: Bus;
  readonly #calledAt: number[] = [];
  readonly #handledAt = new Map<number, number>();

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  readonly handled = (n: number): void => void this.#handledAt.set(n, this.#handledAt.get(n) ?? Date.now());

  get left(): number {
    return this.#calledAt.length - this.#handledAt.size;
  }

  /** Publishes as many as are missing. */
  async fill(waiting: number): Promise<void> {
    const missing = Array.from(
      { length: Math.max(0, waiting - this.left) },
      (_, index) => this.#calledAt.length + index,
    );
    for (const _ of missing) this.#calledAt.push(Date.now());
    await Promise.all(missing.map((n) => this.#bus.publish(Noted, { n }, { id: `backlog-${n}` })));
  }

  async keep(waiting: number, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      await this.fill(waiting);
      await sleep(50);
    }
  }

  /** When all that was published up to this time had been handled. */
  drainedAt(time: number): number {
    return Math.max(
      ...this.#calledAt.map((calledAt, n) =>
        calledAt <= time ? (this.#handledAt.get(n) ?? Number.POSITIVE_INFINITY) : 0,
      ),
    );
  }
}
