import type { Bus, QueueContract } from '@waybill/core';
import { desk, Noted } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Report } from '../program.ts';

/** How much before its time a clock may let something happen. */
export const EARLY_MS = 50;
const COARSE_MS = 1_000;
/** As {@link EARLY_MS}; a broker that counts seconds may round. */
export const earlyMs = ({ capabilities }: Kit): number =>
  capabilities.delayErrorMs >= COARSE_MS ? COARSE_MS : EARLY_MS;
/** Beside what the driver declares. */
export const LATE_MS = 1_000;
/**
 * What a crash may repeat for each slot of an unordered queue: 4 deliveries that are held, and 8 that are handled and wait
 * for the broker to take what became of them.
 */
export const REPEATS_PER_SLOT: number = 4 + 8;

export const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from }, (_, index) => from + index);
export const NOTE = 'note-';
export const noteId = (n: number): string => `${NOTE}${n}`;

/** Publishes a note for each number, as `note-<n>`. */
export async function publishNotes(bus: Bus, numbers: readonly number[], text?: string): Promise<void> {
  await Promise.all(
    numbers.map((n) => bus.publish(Noted, text === undefined ? { n } : { n, text }, { id: noteId(n) })),
  );
}

export const reportsOf = (kit: Kit, what: Report['what'], attempt?: number): readonly Report[] =>
  kit.reports.filter((report) => report.what === what && (attempt === undefined || report.attempt === attempt));

/** Resolves once each of these numbers was handled at least once. */
export async function allHandled(kit: Kit, numbers: readonly number[], withinMs: number): Promise<void> {
  const missing = (): readonly number[] => {
    const handled = new Set(reportsOf(kit, 'handled').map(({ n }) => n));
    return numbers.filter((n) => !handled.has(n));
  };
  try {
    await kit.eventually(`${numbers.length} messages are handled`, () => missing().length === 0, withinMs);
  } catch {
    const left = missing();
    kit.check(
      false,
      `all of ${numbers.length} messages are handled within ${withinMs} ms; not ${left.slice(0, 20).join(', ')}`,
      left.slice(0, 3).map(noteId),
    );
  }
}

/** What it may take beyond the longest wait until something is handed out again. */
const QUIET_MARGIN_MS = 2_000;

/**
 * Resolves once no handler has begun for so long that nothing can come any more: longer than the delays and leases that
 * are in use, with nothing left on the broker. `begun` counts what began.
 */
export async function quiet(kit: Kit, bus: Bus, longestWaitMs: number, begun: () => number): Promise<void> {
  const forMs = longestWaitMs + QUIET_MARGIN_MS;
  let [seen, since] = [begun(), Date.now()];
  const isQuiet = async (): Promise<boolean> => {
    if (begun() !== seen) [seen, since] = [begun(), Date.now()];
    if (Date.now() - since < forMs) return false;
    const { ready, delayed = 0, inFlight = 0 } = await bus.depth(desk);
    return ready + delayed + inFlight === 0 && begun() === seen;
  };
  await kit.eventually(`nothing is left, and nothing begins for ${forMs} ms`, isQuiet, forMs + 90_000);
}

/** Resolves once nothing is left to hand out; what a broker delays is not counted. */
export async function emptied(kit: Kit, bus: Bus, queue: QueueContract): Promise<void> {
  await kit.eventually(`"${queue.name}" is empty`, async () => (await bus.depth(queue)).ready === 0, 90_000);
}
