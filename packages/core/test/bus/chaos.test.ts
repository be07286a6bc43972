import type { MemoryOptions } from '@waybill/memory';
import { describe, expect, it } from 'vitest';
import { Reject } from '../../src/index.ts';
import { ledger, letters, notes, Noted, Placed, type Process, range, unavailable, World } from './kit.ts';

/** Numbers from 0 up to 1, the same for the same seed. */
function chances(seed: number): () => number {
  let state = seed + 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const BROKERS: readonly MemoryOptions[] = [
  { leaseMs: 10_000 },
  { leaseMs: Number.POSITIVE_INFINITY, capabilities: { reject: 'none', maxDelayMs: 3_000 } },
  { leaseMs: 10_000, capabilities: { reject: 'bare' }, deduplicationMs: 3_600_000 },
  {
    capabilities: { ordering: 'one-process', reject: 'none', filtersTypes: false },
    limits: { send: { count: 10, concurrency: 2 }, receive: { count: 10 }, settle: { count: 10, concurrency: 1 } },
  },
];

interface Crew {
  readonly alive: Process[];
  readonly start: () => void;
  readonly chaos: (steps: number) => Promise<void>;
  kills: number;
}

/** Processes that are killed, cut off, refused and hung in turn; at the end all is well again. */
function crewOf(
  world: World,
  chance: () => number,
  consume: (process: Process, isAlive: () => boolean) => Promise<unknown>,
): Crew {
  const alive: Process[] = [];
  const start = (): void => {
    const process = world.process();
    alive.push(process);
    void consume(process, () => alive.includes(process)).catch(() => undefined);
  };
  const faults: readonly (() => void)[] = [
    () => alive[Math.floor(chance() * alive.length)]?.driver.connection.cut(),
    () => {
      const [victim] = alive.splice(Math.floor(chance() * alive.length), 1);
      if (victim === undefined) return;
      crew.kills += 1;
      victim.kill();
      start();
    },
    () => {
      world.broker.stop();
      world.time.after(chance() * 3_000, () => world.broker.start());
    },
    () => {
      for (const { seam } of alive) {
        seam.refuse = ({ id }) => (id.includes('#') && chance() < 0.7 ? unavailable() : undefined);
      }
      world.time.after(chance() * 5_000, () => alive.forEach(({ seam }) => (seam.refuse = undefined)));
    },
    () => {
      for (const { seam } of alive) seam.refuseSettlement = () => (chance() < 0.5 ? unavailable() : undefined);
      world.time.after(chance() * 5_000, () => alive.forEach(({ seam }) => (seam.refuseSettlement = undefined)));
    },
    () => {
      for (const { seam } of alive) {
        seam.afterSend = () => {
          if (chance() < 0.5) throw unavailable();
        };
      }
      world.time.after(chance() * 2_000, () => alive.forEach(({ seam }) => (seam.afterSend = undefined)));
    },
    () => {
      const [victim] = alive.splice(Math.floor(chance() * alive.length), 1);
      if (victim === undefined) return;
      void victim.bus.close({ deadlineMs: chance() * 3_000 });
      start();
    },
  ];
  async function chaos(steps: number): Promise<void> {
    for (let step = 0; step < steps; step += 1) {
      faults[Math.floor(chance() * faults.length)]?.();
      await world.time.advance(Math.ceil(chance() * 800));
    }
    world.broker.start();
    for (const { seam } of alive) {
      seam.refuse = undefined;
      seam.refuseSettlement = undefined;
      seam.afterSend = undefined;
    }
  }
  const crew: Crew = { alive, start, chaos, kills: 0 };
  return crew;
}

describe.each(range(BROKERS.length))('whatever happens, broker %d', (which) => {
  it.each(range(6))('every message of an unordered queue succeeds or is a dead letter, seed %d', async (seed) => {
    const world = new World(BROKERS[which]);
    const chance = chances(seed * 31 + which);
    const succeeded = new Set<number>();
    const attempts = new Map<number, number>();
    const crew = crewOf(world, chance, ({ bus }, isAlive) =>
      bus.consume(
        notes,
        {
          'note.taken': async ({ n }, { attempt, signal }) => {
            if (!isAlive()) return;
            if (chance() < 0.3) await new Promise<void>((resolve) => world.time.after(chance() * 2_000, resolve));
            if (!isAlive() || signal.aborted) throw new Error('not mine');
            if (n % 10 === 7) throw new Reject('never');
            if (n % 10 === 3) throw new Error('for ever');
            if (n % 10 === 5 && attempt < 3) throw new Error('twice');
            attempts.set(n, attempt);
            succeeded.add(n);
          },
        },
        { concurrency: 4, retry: { delaysMs: [200, 700, 5_000] } },
      ),
    );
    crew.start();
    crew.start();
    const publisher = world.process();
    await publisher.bus.provision();
    const publishing = Promise.all(range(150).map((n) => publisher.bus.publish(Noted, { n }, { id: `n${n}` })));
    await crew.chaos(40);
    await world.time.advance(120_000);
    await publishing;
    const dead = new Set((await letters(publisher.bus, notes)).map(({ id }) => Number(id.slice(1))));
    expect(range(150).filter((n) => !succeeded.has(n) && !dead.has(n))).toEqual([]);
    expect([...dead].filter((n) => n % 10 !== 7 && n % 10 !== 3)).toEqual([]);
    for (const [n, attempt] of attempts) expect(attempt).toBeGreaterThanOrEqual(n % 10 === 5 ? 3 : 1);
    expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0, delayed: 0 });
    expect(crew.alive.every(({ bus }) => bus.health().status === 'up')).toBe(true);
  });

  it.each(range(6))('every key of an ordered queue is handled in order, seed %d', async (seed) => {
    const world = new World(BROKERS[which]);
    const chance = chances(seed * 17 + which);
    const firsts = new Map<string, number[]>();
    const crew = crewOf(world, chance, ({ bus }, isAlive) =>
      bus.consume(
        ledger,
        {
          'order.placed': async ({ key, n }, { signal, attempt }) => {
            if (!isAlive()) return;
            if (chance() < 0.3) await new Promise<void>((resolve) => world.time.after(chance() * 500, resolve));
            if (!isAlive() || signal.aborted) throw new Error('not mine');
            if (attempt < 3 && chance() < 0.2) throw new Error('no');
            const seen = firsts.get(key) ?? [];
            if (!seen.includes(n)) seen.push(n);
            firsts.set(key, seen);
          },
          'order.paid': () => undefined,
        },
        { concurrency: 4, retry: { delaysMs: range(40).map(() => 200) } },
      ),
    );
    crew.start();
    crew.start();
    const publisher = world.process();
    await publisher.bus.provision();
    const publishing = Promise.all(
      range(20).flatMap((n) => range(8).map((key) => publisher.bus.publish(Placed, { key: `k${key}`, n }))),
    );
    await crew.chaos(40);
    await world.time.advance(240_000);
    await publishing;
    expect(firsts.size).toBe(8);
    for (const numbers of firsts.values()) expect(numbers).toEqual(range(20));
    expect(world.queue(ledger)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });
});
