import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Bus, WaybillError } from '@waybill/core';
import { Jumped, Moved, track } from '../contracts.ts';
import type { Kit } from '../kit.ts';

export interface Publish {
  readonly id: string;
  readonly key: string;
  /** Place among the calls of all. */
  readonly index: number;
  /** How long it took, in ms. */
  readonly tookMs: number;
  /** Absent: it resolved. */
  readonly code?: string;
}

const moveId = (index: number): string => `move-${index}`;

/** Keyed publishes, so many in flight at a time, and what became of each. */
export class Load {
  readonly ended: Publish[] = [];
  readonly #bus: Bus;
  readonly #keys: number;
  readonly #waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  #next = 0;

  constructor(bus: Bus, keys: number) {
    this.#bus = bus;
    this.#keys = keys;
  }

  /** Resolves once all have ended. */
  async publish(count: number, inFlight: number): Promise<void> {
    const next = async (): Promise<void> => {
      while (this.#next < count) await this.#one(this.#next++);
    };
    await Promise.all(Array.from({ length: inFlight }, next));
  }

  /** Resolves in the turn in which so many have ended. */
  reaches(count: number): Promise<void> {
    if (this.ended.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ count, resolve }));
  }

  get resolved(): readonly Publish[] {
    return this.ended.filter(({ code }) => code === undefined);
  }

  keyOf(index: number): string {
    return `key-${index % this.#keys}`;
  }

  async #one(index: number): Promise<void> {
    const startedAt = Date.now();
    const key = this.keyOf(index);
    let code: string | undefined;
    try {
      await this.#bus.publish(Moved, { entity: key, sequence: index }, { id: moveId(index) });
    } catch (error) {
      code = WaybillError.is(error) ? error.code : String(error);
    }
    this.ended.push({
      id: moveId(index),
      key,
      index,
      tookMs: Date.now() - startedAt,
      ...(code === undefined ? {} : { code }),
    });
    for (const { count, resolve } of this.#waiting) if (this.ended.length >= count) resolve();
  }
}

/** Reads all of {@link track} in this process. Resolves with the indexes in the order of their first arrival. */
export async function readTrack(kit: Kit, load: Load, withinMs: number): Promise<readonly number[]> {
  const bus = kit.bus({ uses: [Moved, track] });
  const arrived = new Set<number>();
  const handle = ({ entity, sequence }: { readonly entity: string; readonly sequence: number }): void => {
    // Not what is published beside the load.
    if (entity === load.keyOf(sequence)) arrived.add(sequence);
  };
  const consumer = await bus.consume(track, { [Moved.type]: handle, [Jumped.type]: handle }, { concurrency: 100 });
  const missing = (): readonly Publish[] => load.resolved.filter(({ index }) => !arrived.has(index));
  await kit
    .eventually(
      'all that is stored arrives',
      async () => missing().length === 0 && (await bus.depth(track)).ready === 0 && consumer.health().held === 0,
      withinMs,
    )
    .catch(() => undefined);
  const lost = missing();
  kit.check(
    lost.length === 0,
    `every resolved publish arrives within ${withinMs} ms; ${lost.length} do not`,
    lost.slice(0, 3).map(({ id }) => id),
  );
  return [...arrived];
}

/** First copies of each key arrived in the order of the calls; what was not stored did not arrive. */
export function checkArrivals(kit: Kit, load: Load, arrived: readonly number[]): void {
  const last = new Map<string, number>();
  // The broker may store those at any time yet, behind what was published later.
  const unanswered = new Set(load.ended.flatMap(({ code, index }) => (code === 'TIMEOUT' ? [index] : [])));
  for (const index of arrived) {
    if (unanswered.has(index)) continue;
    const key = load.keyOf(index);
    const before = last.get(key) ?? -1;
    kit.check(
      before < index,
      `${moveId(index)} of ${key} is stored before ${moveId(before)}, which was published later`,
      [moveId(index), moveId(before)],
    );
    last.set(key, index);
  }
  const there = new Set(arrived);
  const risen = load.ended.filter(({ code, index }) => code === 'UNAVAILABLE' && there.has(index));
  kit.check(
    risen.length === 0,
    `nothing arrives that was rejected as not stored: ${risen.length} do`,
    risen.slice(0, 3).map(({ id }) => id),
  );
}

/** Bytes in use after a collection, those of buffers included. */
export function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
