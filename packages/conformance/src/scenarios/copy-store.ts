import { type Bus, type OutgoingMessage, Reject } from '@waybill/core';
import { desk, Noted } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import { bookkeepingFits } from './dead-letter.ts';
import { digest, largestText, lettersOnceThere, LONG_ERROR, stillTheLetters } from './dead-letter-helpers.ts';
import { noteId, publishNotes, quiet, range } from './retry-helpers.ts';

export const LEASE_MS = 5_000;
/** Of 240 notes, the first included. */
export const REJECTING = range(0, 20).map((index) => index * 12);
const FAILING = range(0, 20).map((index) => index * 12 + 6);
export const BAD = [...REJECTING, ...FAILING];
export const GOOD = range(0, 240).filter((n) => !BAD.includes(n));

export interface Run {
  readonly n: number;
  readonly attempt: number;
  readonly digest: string;
}

/** The first of them has the largest size that `publish` accepts. */
export async function publishMixed(kit: Kit, bus: Bus): Promise<void> {
  await bus.publish(Noted, { n: 0, text: await largestText(kit, bus, 0, noteId(0)) }, { id: noteId(0) });
  await publishNotes(bus, range(1, 240));
}

export const isDelayed = ({ notBefore }: OutgoingMessage): boolean => notBefore !== undefined;

export const ran = (runs: readonly Run[], numbers: readonly number[], attempt: number): boolean => {
  const seen = new Set(runs.filter((run) => run.attempt === attempt).map(({ n }) => n));
  return numbers.every((n) => seen.has(n));
};

/** Each of these has this attempt, once. */
export function ranOnce(kit: Kit, runs: readonly Run[], numbers: readonly number[], attempt: number): void {
  const counted = runs.filter((run) => run.attempt === attempt);
  const odd = numbers.filter((n) => counted.filter((run) => run.n === n).length !== 1);
  kit.same(odd, [], `those that do not have attempt ${attempt} once`, odd.slice(0, 3).map(noteId));
}

/** After an outage: what was rejected is one letter each, and what failed is retried once; no handler ran more often. */
export async function storedOnce(kit: Kit, bus: Bus, runs: readonly Run[]): Promise<void> {
  const letters = await lettersOnceThere(kit, bus, desk, { count: REJECTING.length, withinMs: 20_000 });
  await kit.eventually('the failed ones are retried', () => ran(runs, FAILING, 2), 20_000);
  const ids = letters.map(({ id }) => id).toSorted();
  kit.same(ids, REJECTING.map(noteId).toSorted(), 'exactly what was rejected is a dead letter');
  for (const letter of letters) {
    const source = runs.find(({ n }) => noteId(n) === letter.id)?.digest;
    kit.same(digest(letter.delivery.body), source, 'a letter has the bytes of its source', [letter.id]);
    bookkeepingFits(kit, letter);
  }
  await quiet(kit, bus, LEASE_MS, () => runs.length);
  ranOnce(kit, runs, BAD, 1);
  ranOnce(kit, runs, FAILING, 2);
  const others = runs.filter(({ n, attempt }) => attempt > 1 && !FAILING.includes(n)).map(({ n }) => noteId(n));
  kit.same(others, [], 'only what failed is retried', others);
  await stillTheLetters(kit, bus, desk, letters);
}

export function settledOf(kit: Kit, numbers: readonly number[]): readonly string[] {
  const ids = new Set(numbers.map(noteId));
  return kit.history.entries.flatMap(({ what, id }) =>
    (what === 'accepted' || what === 'rejected') && ids.has(id) ? [id] : [],
  );
}

export async function consumeMixed(bus: Bus): Promise<readonly Run[]> {
  const runs: Run[] = [];
  await bus.consume(
    desk,
    {
      'conformance.work': () => undefined,
      'conformance.noted': ({ n }, { attempt, delivery }) => {
        runs.push({ n, attempt, digest: digest(delivery.body) });
        if (REJECTING.includes(n)) throw new Reject(LONG_ERROR);
        if (FAILING.includes(n) && attempt === 1) throw new Error('fails once');
      },
    },
    { retry: { delaysMs: [1_000, 2_000, 4_000] } },
  );
  return runs;
}
