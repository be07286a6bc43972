import type { Bus } from '@waybill/core';
import { Noted } from '../contracts.ts';
import type { Entry } from '../history.ts';
import type { Kit } from '../kit.ts';

/** A publish that is not stored yet, and how it ended. */
export interface Pending {
  readonly id: string;
  readonly outcome: Promise<{ readonly code: unknown; readonly at: number }>;
}

/** Apart from the numbers that scenarios count. */
const FROM = 2_000;

export function publishPending(bus: Bus, count: number, name: string): readonly Pending[] {
  return Array.from({ length: count }, (_, n) => {
    const id = `${name}-${n}`;
    const outcome = bus.publish(Noted, { n: FROM + n }, { id }).then(
      () => ({ code: 'stored', at: Date.now() }),
      (error: unknown) => ({ code: (error as { code?: unknown }).code, at: Date.now() }),
    );
    return { id, outcome };
  });
}

/** More than what a driver is handed at one time, so that some of them wait: those are certainly not stored. */
export function morePending(kit: Kit): number {
  const { count, concurrency } = kit.session.createDriver().limits.send;
  return Math.min(count * concurrency, 20_000) + 300;
}

/** What close may take beyond its deadline on a busy machine. */
const GRACE_MS = 1_000;

/**
 * Closes; all pending publishes are rejected by then, with CLOSED only what is certainly not stored, and nothing is sent
 * later. Resolves with the ids of those.
 */
export async function checkClose(
  kit: Kit,
  bus: Bus,
  pending: readonly Pending[],
  deadlineMs: number,
): Promise<readonly string[]> {
  const closesAt = Date.now();
  await bus.close({ deadlineMs });
  const closedAt = Date.now();
  kit.check(
    closedAt - closesAt <= deadlineMs + GRACE_MS,
    `close ends within ${deadlineMs} ms, not ${closedAt - closesAt}`,
  );
  const entriesOf = entriesById(kit);
  const notStored: string[] = [];
  for (const { id, outcome } of pending) {
    const { code, at } = await outcome;
    if (code === 'CLOSED') notStored.push(id);
    kit.check(at <= closedAt + GRACE_MS, `${id} is settled when close is, not ${at - closedAt} ms later`, [id]);
    kit.check(
      code === 'CLOSED' || code === 'TIMEOUT',
      `${id} is rejected with CLOSED or TIMEOUT, not ${String(code)}`,
      [id],
    );
    const entries = entriesOf.get(id) ?? [];
    const sent = entries.filter(({ what }) => what === 'sent');
    const refused = entries.filter(({ what, detail }) => what === 'not stored' && !detail.includes('TIMEOUT'));
    kit.check(
      code === 'TIMEOUT' || sent.length === refused.length,
      `${id} is rejected with CLOSED only if it was refused each time it was sent`,
      [id],
    );
    kit.check(
      sent.length > 0 || code === 'CLOSED',
      `${id} was never handed to the driver, and is rejected with CLOSED`,
      [id],
    );
    kit.check(
      sent.every((entry) => entry.at <= closedAt),
      `${id} is not sent after close`,
      [id],
    );
  }
  // Where a request fails at once, without telling whether it was taken, each may have been sent by then.
  const isAnySpared = pending.some(({ id }) => (entriesOf.get(id) ?? []).every(({ what }) => what !== 'sent'));
  kit.check(notStored.length > 0 || !isAnySpared, 'what was never sent is rejected with CLOSED');
  return notStored;
}

function entriesById({ history }: Kit): ReadonlyMap<string, readonly Entry[]> {
  const byId = new Map<string, Entry[]>();
  for (const entry of history.entries) {
    const entries = byId.get(entry.id);
    if (entries === undefined) byId.set(entry.id, [entry]);
    else entries.push(entry);
  }
  return byId;
}
