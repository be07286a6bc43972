import { setTimeout as sleep } from 'node:timers/promises';
import { type Bus, type Depth, WaybillError } from '@waybill/core';
import { indexOf, QUEUES } from './contracts.ts';
import type { Crew } from './crew.ts';
import { Ledger, ledgerFile } from './ledger.ts';
import type { Problems } from './problems.ts';
import { CONSUMERS, type ConsumerName } from './workload.ts';

/** Longer than the longest delay of a retry, and than what a dead process held stays hidden. */
const QUIET_MS = 12_000;
const LOOK_EVERY_MS = 1_000;
/** Longer than it takes a consumer to come back after any fault, and than a message that kills its process keeps others waiting. */
const STUCK_MS = 120_000;
const MOST_MS = 1_200_000;

/** Resolves once nothing is left and nothing moves. It is a problem when something is left, and nothing comes to an end. */
export async function drain(bus: Bus, crew: Crew, problems: Problems): Promise<void> {
  const until = performance.now() + MOST_MS;
  let [quietSince, movedAt] = [performance.now(), performance.now()];
  let [over, failed, left] = [0, 0, ''];
  while (performance.now() < Math.min(until, movedAt + STUCK_MS)) {
    left = (await Promise.all(CONSUMERS.map((name) => leftIn(bus, crew, name))))
      .filter((what) => what !== '')
      .join(', ');
    const counts = CONSUMERS.flatMap((name) => crew.consumers[name].map((member) => member.counts));
    const nowOver = counts.reduce((sum, { handled, dead }) => sum + handled + dead, 0);
    const nowFailed = counts.reduce((sum, each) => sum + each.failed, 0);
    if (nowOver !== over) movedAt = performance.now();
    if (left !== '' || nowOver !== over || nowFailed !== failed) quietSince = performance.now();
    if (performance.now() - quietSince > QUIET_MS) return;
    [over, failed] = [nowOver, nowFailed];
    await sleep(LOOK_EVERY_MS);
  }
  const since = Math.round((performance.now() - movedAt) / 1_000);
  problems.add({ check: 'empty', what: `nothing came to an end for ${since} s: ${left}` });
}

async function leftIn(bus: Bus, crew: Crew, name: ConsumerName): Promise<string> {
  const held = crew.consumers[name].reduce((sum, { counts }) => sum + counts.held, 0);
  const depth = await depthOf(bus, name);
  if (depth === undefined) return `the broker does not tell what ${name} has`;
  const { ready, inFlight = 0, delayed = 0 } = depth;
  if (held + ready + inFlight + delayed === 0) return '';
  return `${name} has ${ready} ready, ${inFlight} in flight, ${delayed} delayed, ${held} held`;
}

/** A broker that was down a moment ago may not answer at once. */
async function depthOf(bus: Bus, name: ConsumerName): Promise<Depth | undefined> {
  try {
    return await bus.depth(QUEUES[name]);
  } catch (error) {
    if (WaybillError.is(error) && error.retryable) return undefined;
    throw error;
  }
}

/** Writes down every dead letter, so that the checker reads them as it reads everything else. */
export async function writeLetters(bus: Bus, folder: string): Promise<void> {
  for (const name of CONSUMERS) {
    const ledger = new Ledger(ledgerFile(folder, `letters-${name}`));
    for await (const { id, reason, attempts } of bus.deadLetters(QUEUES[name])) {
      ledger.add({ kind: 'letter', index: indexOf(id), attempt: attempts, code: reason });
    }
    ledger.close();
  }
}
