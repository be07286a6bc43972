import type { Bus } from '@waybill/core';
import type { Kit } from '../kit.ts';
import type { DeathAtCopy, Program } from '../program.ts';
import type { Worker } from '../worker.ts';
import { warmUp } from './lease-handlers.ts';
import { publishNotes, range, reportsOf } from './retry-helpers.ts';

/** Messages, handlers at a time in each process, and how soon what a dead one held is back. */
export const CRASHING = { count: 200, concurrency: 8, leaseMs: 5_000 } as const;
/** Some of the first are taken one at a time; by then the window is open. */
const BEFORE_COPY = 50;

/**
 * Publishes the notes and kills two processes around their copies to `lane`: one right after it stored the 20th, with its
 * window open, and one right before it hands over a later one. Resolves with both.
 */
export async function killTwice(
  kit: Kit,
  bus: Bus,
  program: Omit<Program, 'prefix' | 'diesAtCopy'>,
  lane: DeathAtCopy['lane'],
): Promise<readonly Worker[]> {
  const start = (count: number, when: DeathAtCopy['when']): Promise<Worker> =>
    kit.worker({ ...program, diesAtCopy: { lane, count, when } }, { leaseMs: CRASHING.leaseMs });
  const late = await start(20, 'after');
  await warmUp(kit, bus, late);
  await publishNotes(bus, range(0, CRASHING.count));
  await late.ended;
  const early = await start(BEFORE_COPY, 'before');
  await early.ended;
  return [late, early];
}

/** Each of the killed processes left at least so many messages behind that it had failed, and no more than it may hold. */
export function repeatsHeld(kit: Kit, killed: readonly Worker[], least: number, most: number): void {
  for (const worker of killed) {
    const repeated = repeatedAfter(kit, worker);
    kit.check(
      repeated.length >= least && repeated.length <= most,
      `${worker.name} leaves ${least} to ${most} failed messages unsettled: ${repeated.length}`,
      repeated.slice(0, 3),
    );
  }
}

/** Messages that failed at their first attempt in a process that is dead, and began it in a later one again. */
function repeatedAfter(kit: Kit, dead: Worker): readonly string[] {
  const diedAt = Math.max(...dead.reports.map(({ at }) => at));
  const failed = new Set(
    dead.reports.filter(({ what, attempt }) => what === 'failed' && attempt === 1).map(({ id }) => id),
  );
  const again = reportsOf(kit, 'started', 1).filter(
    (report) => report.at >= diedAt && failed.has(report.id) && !dead.reports.includes(report),
  );
  return [...new Set(again.map(({ id }) => id))];
}
