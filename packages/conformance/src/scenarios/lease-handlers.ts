import { setTimeout as sleep } from 'node:timers/promises';
import { type Bus, type Driver, type HandlerContext, WaybillError } from '@waybill/core';
import { desk, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Worker } from '../worker.ts';
import { wrapDriver } from '../wrap-driver.ts';

/** A consumer starts with one message at a time until so many were harmless: only then it holds more than it runs. */
const WARM_UP = 25;
const WARM_UP_FROM = 1_000;

/** Resolves once the only process holds as many messages as it has places for. */
export async function warmUp(kit: Kit, bus: Bus, worker: Worker): Promise<void> {
  await warmUpWith(kit, bus, () => worker.reports.filter(({ n, what }) => isWarmUp(n) && what === 'handled').length);
}

/** As {@link warmUp}, of processes that share the queue. */
export async function warmUpBoth(kit: Kit, bus: Bus, workers: readonly Worker[]): Promise<void> {
  const handled = ({ reports }: Worker): number =>
    reports.filter(({ n, what }) => isWarmUp(n) && what === 'handled').length;
  let sent = 0;
  while (workers.some((worker) => handled(worker) < WARM_UP)) {
    kit.check(sent < 40 * WARM_UP, `each process gets some of ${sent} messages`);
    await sendWork(bus, range(WARM_UP, WARM_UP_FROM + sent));
    sent += WARM_UP;
    const all = (): boolean => workers.reduce((sum, worker) => sum + handled(worker), 0) >= sent;
    await kit.eventually('all are handled', all, 20_000);
  }
}

/** As {@link warmUp}; `handled` counts the warm-up messages. */
export async function warmUpWith(kit: Kit, bus: Bus, handled: () => number): Promise<void> {
  await sendWork(bus, range(WARM_UP, WARM_UP_FROM));
  await kit.eventually('the process is warmed up', () => handled() >= WARM_UP, 20_000);
}

export function isWarmUp(n: number): boolean {
  return n >= WARM_UP_FROM;
}

export async function sendWork(bus: Bus, numbers: readonly number[]): Promise<void> {
  await Promise.all(numbers.map((n) => bus.send(desk, Work, { n }, { id: `work-${n}` })));
}

export function range(count: number, from = 0): readonly number[] {
  return Array.from({ length: count }, (_, index) => from + index);
}

/** The process runs what it can of so many messages and holds the rest, by its own account. */
export async function holdsAll(kit: Kit, worker: Worker, count: number, running: number): Promise<void> {
  const started = (): boolean => numbersOf([worker], 'started').length >= running;
  await kit.eventually(`${running} handlers run`, started, 20_000);
  await kit.eventually(`it holds ${count}`, async () => (await worker.held()) === count, 20_000);
}

/** Of the messages that count, how many ended so in these processes. */
export function numbersOf(workers: readonly Worker[], what: Worker['reports'][number]['what']): readonly number[] {
  const reports = workers
    .flatMap((worker) => worker.reports)
    .filter((report) => report.what === what && !isWarmUp(report.n));
  return reports.map(({ n }) => n).toSorted((left, right) => left - right);
}

/** Takes the leases of one process away: it cannot renew them, or its connection is cut where they have no clock. */
export class LeaseThief {
  #stealing = false;
  #clock = true;

  readonly seam = (driver: Driver): Driver =>
    wrapDriver(driver, {
      subscribe: async (queue, lane, options) => {
        const subscription = await driver.subscribe(queue, lane, options);
        return {
          receive: (max, signal) => subscription.receive(max, signal),
          settle: (batch) => subscription.settle(batch),
          extend: (deliveries) =>
            this.#stealing && this.#clock ? Promise.reject(refused()) : subscription.extend(deliveries),
          resize: (maxInFlight) => subscription.resize(maxInFlight),
          close: (deadlineMs) => subscription.close(deadlineMs),
        };
      },
    });

  /** Resolves with the time by which what is held is lost. */
  async steal(kit: Kit, { delivery }: HandlerContext, leaseMs: number): Promise<number> {
    this.#clock = delivery.leaseUntil !== Number.POSITIVE_INFINITY;
    this.#stealing = true;
    if (this.#clock) return Date.now() + leaseMs;
    await kit.faults.cut();
    return Date.now();
  }
}

function refused(): WaybillError {
  return new WaybillError('UNAVAILABLE', 'The seam lets no lease be extended.');
}

/** Resolves when the signal aborts, with the time; or with undefined after `mostMs`. */
export async function abortedAt(signal: AbortSignal, mostMs: number): Promise<number | undefined> {
  try {
    await sleep(mostMs, undefined, { signal });
    return undefined;
  } catch {
    return Date.now();
  }
}
