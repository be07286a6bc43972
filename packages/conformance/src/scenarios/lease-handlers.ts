import { setTimeout as sleep } from 'node:timers/promises';
import { type Bus, type Delivery, type Driver, type HandlerContext, WaybillError } from '@waybill/core';
import type { Subscription } from '@waybill/core/driver';
import { desk, Work } from '../contracts.ts';
import type { DriverSettings } from '../harness.ts';
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
  const byAll = (): number => workers.reduce((sum, worker) => sum + handled(worker), 0);
  for (let round = 0; workers.some((worker) => handled(worker) < WARM_UP); round += 1) {
    kit.check(round < 40, `each process gets ${WARM_UP} of ${round * WARM_UP} messages`);
    await sendWork(bus, range(WARM_UP, WARM_UP_FROM + round * WARM_UP));
    await kit.eventually('all are handled', () => byAll() >= (round + 1) * WARM_UP, 20_000);
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

/**
 * How long a lease of these settings really is, which a broker may not allow as they say: of a message that is handed out
 * for it. Undefined where leases have no clock.
 */
export async function leaseOf(kit: Kit, settings: DriverSettings): Promise<number | undefined> {
  const bus = kit.bus({ driver: settings });
  const leases: number[] = [];
  const look = (_: unknown, { delivery }: HandlerContext): void => void leases.push(delivery.leaseUntil - Date.now());
  await bus.consume(desk, { [Work.type]: look, 'conformance.noted': () => undefined });
  await bus.send(desk, Work, { n: WARM_UP_FROM }, { id: 'whose-lease' });
  const [leaseMs] = await kit.eventually(
    'a message is handed out',
    () => (leases.length > 0 ? leases : undefined),
    20_000,
  );
  await bus.close();
  return leaseMs === undefined || leaseMs === Number.POSITIVE_INFINITY ? undefined : Math.ceil(leaseMs / 100) * 100;
}

/** A settlement that never reached the broker shows once its lease is over; where leases have no clock, at once. */
export async function leasesAreOver(kit: Kit, leaseMs: number | undefined): Promise<void> {
  if (leaseMs === undefined) return;
  const over = Date.now() + leaseMs + 2_000;
  await kit.eventually('what was not settled would be handed out again', () => Date.now() > over, leaseMs + 5_000);
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

/** A loss that was not noticed this long after a cut did not happen. */
const LOSS_SHOWS_MS = 3_000;

/**
 * Takes the leases of one process away: it cannot renew them. Where they have no clock its connection is cut, and where
 * that takes nothing away, or nothing can be cut, the driver says that they are lost and gives them back.
 */
export class LeaseThief {
  readonly #leases = new Map<Delivery, number>();
  readonly #lose: (() => Promise<void>)[] = [];
  #stolen: ReadonlySet<Delivery> = new Set();

  readonly seam = (driver: Driver): Driver =>
    wrapDriver(driver, {
      subscribe: async (queue, lane, options) => {
        let current: Subscription | undefined = await driver.subscribe(queue, lane, options);
        let window = options.maxInFlight;
        const held = new Set<Delivery>();
        const open = async (): Promise<Subscription> => {
          current ??= await driver.subscribe(queue, lane, { ...options, maxInFlight: window });
          return current;
        };
        this.#lose.push(async () => {
          const [old, lost] = [current, [...held]];
          current = undefined;
          held.clear();
          options.onLost(lost, refused());
          await old?.close(Date.now() + LOSS_SHOWS_MS);
        });
        return {
          receive: async (max, signal) => {
            const from = await open();
            const deliveries = await from.receive(max, signal);
            // They were the old subscription's.
            if (from !== current) throw refused();
            for (const delivery of deliveries) {
              held.add(delivery);
              this.#leases.set(delivery, delivery.leaseUntil);
            }
            return deliveries;
          },
          settle: async (batch) => {
            if (batch.some(({ delivery }) => !held.has(delivery))) throw refused();
            await current?.settle(batch);
            for (const { delivery } of batch) held.delete(delivery);
          },
          extend: async (deliveries) => {
            const stolen = deliveries.filter((each) => this.#stolen.has(each) && this.#leases.get(each) !== Infinity);
            if (stolen.length > 0) throw refused();
            const leases = (await current?.extend(deliveries)) ?? deliveries.map(() => 0);
            for (const [index, delivery] of deliveries.entries()) this.#leases.set(delivery, leases[index] ?? 0);
            return leases;
          },
          resize: async (maxInFlight) => {
            window = maxInFlight;
            await current?.resize(maxInFlight);
          },
          close: async (deadlineMs) => current?.close(deadlineMs),
        };
      },
    });

  /** Resolves with the time by which what is held is lost. */
  async steal(kit: Kit, { delivery }: HandlerContext): Promise<number> {
    this.#stolen = new Set(this.#leases.keys());
    const leaseUntil = this.#leases.get(delivery) ?? delivery.leaseUntil;
    if (leaseUntil !== Number.POSITIVE_INFINITY) return leaseUntil;
    const cutAt = Date.now();
    if (kit.harness.faults.includes('cut')) {
      await kit.faults.cut();
      const noticed = (): boolean => kit.events.some(({ name }) => name === 'lease-lost');
      const lost = await kit.eventually('the loss is noticed', noticed, LOSS_SHOWS_MS).catch(() => false);
      if (lost) return cutAt;
    }
    const lostAt = Date.now();
    await Promise.all(this.#lose.map((lose) => lose()));
    return lostAt;
  }
}

function refused(): WaybillError {
  return new WaybillError('UNAVAILABLE', 'The seam takes the leases away.');
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
