import type { Disruption } from './journal.ts';
import { MOST_PENDING } from './publisher.ts';
import { CONCURRENCY, CONSUMERS, type ConsumerName, PROCESSES, PUBLISHERS } from './workload.ts';

/**
 * What a process may hold that was handled or failed and is not settled: an ordered consumer its window, another one four
 * for each handler, and a batch of eight more that wait for the broker to take it.
 */
const MOST_HELD: Readonly<Record<ConsumerName, number>> = { ordered: 1_000, concurrent: (4 + 8) * CONCURRENCY };

/** How long after a fault it may still show: heartbeats, sessions and leases have to run out. */
const SHOWS_FOR_US = 30e6;

/**
 * How many messages a fault may have a consumer handle again: what each process that it hits may hold; and what each
 * publisher that it hits may have on its way, which is then stored twice.
 */
function allowed({ fault }: Disruption, consumer: ConsumerName): number {
  if (fault.startsWith('roll-') || fault.startsWith('kill-publisher') || fault.startsWith('death of publisher'))
    return 0;
  if (fault.startsWith('freeze-publisher')) return MOST_PENDING;
  const hit = CONSUMERS.find((name) => fault.includes(name));
  if (hit !== undefined) return hit === consumer ? MOST_HELD[consumer] : 0;
  return PROCESSES * MOST_HELD[consumer] + PUBLISHERS * MOST_PENDING;
}

export function boundOf(disruptions: readonly Disruption[], consumer: ConsumerName): number {
  return disruptions.reduce((sum, disruption) => sum + allowed(disruption, consumer), 0);
}

/** Whether a fault that makes duplicates was on, or could still show, between two times. */
export function isExplained(
  disruptions: readonly Disruption[],
  consumer: ConsumerName,
  { from, to }: { readonly from: number; readonly to: number },
): boolean {
  return disruptions.some(
    (each) => each.from <= to && each.until + SHOWS_FOR_US >= from && allowed(each, consumer) > 0,
  );
}
