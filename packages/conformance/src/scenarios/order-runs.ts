import type { Bus } from '@waybill/core';
import { Jumped, Moved, outbox, track } from '../contracts.ts';
import type { BusSettings, Kit } from '../kit.ts';
import type { Report } from '../program.ts';
import type { Worker } from '../worker.ts';

/** One attempt in one process. Without an end its process died in it, or it still runs. */
export interface Run {
  readonly worker: string;
  readonly started: Report;
  readonly ended: Report | undefined;
}

const ORDERED = [Moved, Jumped, track, outbox] as const;

/** A bus in this process with the ordered queue on the broker. */
export async function orderedBus(kit: Kit, settings: BusSettings = {}): Promise<Bus> {
  const bus = kit.bus({ uses: ORDERED, ...settings });
  await bus.provision();
  return bus;
}

export function keysOf(count: number, name = 'key'): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${name}${index}`);
}

export function idOf(key: string, n: number): string {
  return `${key}-${n}`;
}

/** Publishes 0 to `count` - 1 of every key without awaiting between them. `events` take turns. */
export async function publishMoves(
  bus: Bus,
  keys: readonly string[],
  count: number,
  events: Events = [Moved],
): Promise<void> {
  await publishRounds(bus, keys, { from: 0, to: count }, events);
}

type Events = readonly (typeof Moved | typeof Jumped)[];

/** As {@link publishMoves}, from one number to before another. */
export async function publishRounds(
  bus: Bus,
  keys: readonly string[],
  { from, to }: { readonly from: number; readonly to: number },
  events: Events,
): Promise<void> {
  const rounds = Array.from({ length: to - from }, (_, index) => {
    const n = from + index;
    const event = events[n % events.length] as typeof Moved;
    return keys.map((entity) => bus.publish(event, { entity, sequence: n }, { id: idOf(entity, n) }));
  });
  await Promise.all(rounds.flat());
}

export function runsOf(workers: readonly Worker[]): readonly Run[] {
  return workers.flatMap(({ name, reports }) => {
    const ends = new Map<string, Report[]>();
    for (const report of reports) {
      if (report.what !== 'started') ends.set(report.id, [...(ends.get(report.id) ?? []), report]);
    }
    return reports
      .filter(({ what }) => what === 'started')
      .map((started) => ({ worker: name, started, ended: ends.get(started.id)?.shift() }));
  });
}

/** The distinct messages that were handled. */
export function handledIds(reports: readonly Report[]): ReadonlySet<string> {
  return new Set(reports.filter(({ what }) => what === 'handled').map(({ id }) => id));
}

export async function allHandled(kit: Kit, count: number, withinMs: number): Promise<void> {
  await kit.eventually(`${count} messages are handled`, () => handledIds(kit.reports).size >= count, withinMs);
}

/** Per key and topic: none starts before the one before it succeeded, and no two run at the same time unless a process died. */
export function checkOrder(kit: Kit, runs: readonly Run[]): void {
  const chains = groupBy(runs, ({ started }) => `${started.type} ${started.key}`);
  for (const chain of chains.values()) {
    checkSuccession(kit, chain);
    checkApart(kit, chain);
  }
}

function checkSuccession(kit: Kit, chain: readonly Run[]): void {
  const numbers = [...groupBy(chain, ({ started }) => started.n)].toSorted(([left], [right]) => left - right);
  let before: { readonly id: string; readonly succeededAt: number } | undefined;
  for (const [, runs] of numbers) {
    const { id } = (runs[0] as Run).started;
    const startedAt = Math.min(...runs.map(({ started }) => started.at));
    const ids = before === undefined ? [id] : [before.id, id];
    kit.check(
      before === undefined || startedAt >= before.succeededAt,
      `${id} starts only after ${before?.id ?? ''} succeeded`,
      ids,
    );
    const successes = runs.flatMap(({ ended }) => (ended?.what === 'handled' ? [ended.at] : []));
    kit.check(successes.length > 0, `${id} succeeds`, [id]);
    before = { id, succeededAt: Math.min(...successes) };
  }
}

function checkApart(kit: Kit, chain: readonly Run[]): void {
  const inTime = chain.toSorted(
    (left, right) => left.started.at - right.started.at || (left.ended?.at ?? 0) - (right.ended?.at ?? 0),
  );
  for (const [index, run] of inTime.entries()) {
    const before = inTime[index - 1];
    const apart = before?.ended === undefined || before.ended.at <= run.started.at;
    kit.check(apart, `${before?.started.id ?? ''} and ${run.started.id} do not run at the same time`, [
      before?.started.id ?? '',
      run.started.id,
    ]);
  }
}

/** Where one process works at a time: no two processes have a handler running together, unless one of them died in it. */
export function checkOneProcess(kit: Kit, runs: readonly Run[]): void {
  if (kit.capabilities.ordering !== 'one-process') return;
  const last = new Map<string, Run>();
  for (const run of runs.toSorted((left, right) => left.started.at - right.started.at)) {
    for (const [worker, other] of last) {
      const apart = worker === run.worker || (other.ended?.at ?? 0) <= run.started.at;
      kit.check(apart, `${worker} and ${run.worker} take turns`, [other.started.id, run.started.id]);
    }
    const latest = last.get(run.worker);
    if ((run.ended?.at ?? 0) >= (latest?.ended?.at ?? 0)) last.set(run.worker, run);
  }
}

function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): ReadonlyMap<K, readonly T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}
