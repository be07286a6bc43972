import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus } from '@waybill/core';
import { desk } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Program } from '../program.ts';
import type { Scenario } from '../scenario.ts';
import type { Worker } from '../worker.ts';
import { foreign, lettersOnceThere, outlined, sameBodies, stillTheLetters } from './dead-letter-helpers.ts';
import { allHandled, earlyMs, emptied, noteId, publishNotes, range, reportsOf } from './retry-helpers.ts';
import { PricedV1, PricedV2, pricesV1, pricesV2, Reprice } from './versions-contracts.ts';

const POISON = 137;
const MOST_KILLS = 12;
const QUIET_MS = 30_000;
const LEASE_MS = 5_000;

export const poisonFaults: readonly Scenario[] = [
  {
    id: 'poison-unknown',
    guarantee: 'poison',
    sentence:
      'an unknown type or newer version that nobody takes for `unknownForMs` is a dead letter of its reason, without an attempt counted',
    needs: ['delay', 'admin'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const newer = kit.bus({ uses: [pricesV2] });
      const older = kit.bus({ uses: [pricesV1] });
      await newer.provision();
      const seen = new Set<string>();
      await older.consume(pricesV1, { 'conformance.priced': ({ sku }) => void seen.add(sku) }, { unknownForMs: 3_000 });
      const sentAt = Date.now();
      await newer.send(pricesV2, Reprice, { sku: 'type' }, { id: 'type' });
      await newer.publish(PricedV2, { sku: 'version', cents: 1, currency: 'eur' }, { id: 'version' });
      await Promise.all(range(0, 30).map((n) => older.publish(PricedV1, { sku: `good-${n}`, price: '1' })));
      await kit.eventually('the known ones are handled meanwhile', () => seen.size === 30, 15_000);
      const letters = await lettersOnceThere(kit, older, pricesV1, { count: 2, withinMs: 25_000 });
      kit.same(
        outlined(letters),
        [
          ['type', 'unknown-type', 1],
          ['version', 'unknown-version', 1],
        ],
        'each has its reason and no attempt is counted',
        ['type', 'version'],
      );
      const soonest = Math.min(...letters.map(({ deadAt = 0 }) => deadAt)) - sentAt;
      kit.check(soonest >= 3_000 - earlyMs(kit), `they wait for 3000 ms first: ${soonest}`, ['type', 'version']);
      await emptied(kit, older, pricesV1);
      await stillTheLetters(kit, older, pricesV1, letters);
    },
  },
  {
    id: 'poison-under-cut',
    guarantee: 'poison',
    sentence:
      'connections that are cut in the middle of poison and good messages cost none of either: each of the poison is one letter',
    needs: ['admin'],
    faults: ['cut'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      // What was on its way when the connection was cut comes again after a lease.
      const bus = kit.bus({ driver: { leaseMs: 10_000 } });
      await bus.provision();
      const broken = range(0, 40).map((index) =>
        foreign(kit, desk, { id: `broken-${index}`, body: Buffer.from(`{${index}`) }),
      );
      for (const [index, message] of broken.entries()) {
        await bus.dispatch([message]);
        await publishNotes(bus, range(index * 5, index * 5 + 5));
      }
      const seen = new Set<number>();
      const see = async ({ n }: { n: number }): Promise<void> => {
        await sleep(5);
        seen.add(n);
      };
      await bus.consume(desk, { 'conformance.noted': see, 'conformance.work': see }, { concurrency: 4 });
      for (const reached of [10, 100]) {
        await kit.eventually(`${reached} are handled`, () => seen.size >= reached, 15_000);
        await kit.faults.cut();
      }
      await kit.eventually('all good ones are handled', () => seen.size === 200, 25_000);
      const letters = await lettersOnceThere(kit, bus, desk, { count: 40, withinMs: 20_000 });
      kit.check(
        letters.every(({ reason }) => reason === 'undecodable'),
        'no good one is a dead letter',
      );
      sameBodies(
        kit,
        letters,
        broken.map(({ body }) => body),
      );
      await kit.eventually('the consumer is up', () => bus.health().status === 'up', 15_000);
      await emptied(kit, bus, desk);
      await stillTheLetters(kit, bus, desk, letters);
    },
  },
  {
    id: 'poison-no-innocent',
    guarantee: 'poison',
    sentence:
      'messages that were in hand each time processes died of something else are handled in the end, at their first attempt',
    needs: ['admin'],
    faults: ['kill-process'],
    deadlineMs: 120_000,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      // The only one, so that each process gets it, where need be after the lease of the one before.
      await publishNotes(bus, range(0, 1));
      for (const round of range(0, 5)) {
        const worker = await kit.worker({ queue: 'desk', rules: [{ then: 'hang' }] }, { leaseMs: LEASE_MS });
        await kit.eventually(`process ${round} has it in hand`, () => worker.reports.length > 0, LEASE_MS + 15_000);
        worker.kill();
        await worker.ended;
      }
      await publishNotes(bus, range(1, 8));
      await kit.worker({ queue: 'desk' });
      await allHandled(kit, range(0, 8), LEASE_MS + 20_000);
      const worn = Math.max(...reportsOf(kit, 'started').map(({ deliveries }) => deliveries));
      kit.check(worn >= 3, `the broker counted the deaths: ${worn} deliveries`);
      kit.check(
        reportsOf(kit, 'handled').every(({ attempt }) => attempt === 1),
        'every one is handled at attempt 1',
      );
      kit.same(
        (await kit.letters(bus, desk)).map(({ id }) => id),
        [],
        'none is a dead letter',
        range(0, 8).map(noteId),
      );
      await emptied(kit, bus, desk);
    },
  },
  {
    id: 'crash-poison',
    guarantee: 'poison',
    sentence:
      'a message that kills its process at every run is a dead letter `crash-loop` after at most 12 kills, and no innocent is',
    needs: ['admin'],
    faults: ['kill-process'],
    deadlineMs: 300_000,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      await publishNotes(bus, range(0, 500));
      const startedAt = Date.now();
      const crew = new Crew(kit);
      crew.keep(3);
      let deadAt: number;
      try {
        const numbers = range(0, await publishUntilDead(kit, bus, 500));
        const innocents = numbers.filter((n) => n !== POISON);
        await allHandled(kit, innocents, 45_000);
        const letters = await lettersOnceThere(kit, bus, desk, { count: 1, withinMs: 20_000 });
        const expected = [[noteId(POISON), 'crash-loop', 1]];
        kit.same(outlined(letters), expected, 'the one that kills is the one dead letter', [noteId(POISON)]);
        deadAt = letters[0]?.deadAt ?? Number.NaN;
        await emptied(kit, bus, desk);
        await stillTheLetters(kit, bus, desk, letters);
      } finally {
        await crew.stop();
      }
      kit.check(crew.kills <= MOST_KILLS, `it kills at most ${MOST_KILLS} processes: ${crew.kills}`, [noteId(POISON)]);
      const counted = kit.reports.filter(({ attempt }) => attempt > 1).map(({ id }) => id);
      kit.same(counted, [], 'no crash counts as an attempt', counted);
      const quietMs = longestQuiet(kit, startedAt, deadAt);
      kit.check(
        quietMs <= QUIET_MS,
        `something succeeds in every ${QUIET_MS} ms of the loop: nothing did for ${quietMs}`,
      );
    },
  },
];

/** Publishes a note every 200 ms while nothing is a dead letter. Resolves with the number behind the last one. */
async function publishUntilDead(kit: Kit, bus: Bus, from: number): Promise<number> {
  const until = Date.now() + 200_000;
  for (let n = from; ; n += 1) {
    if ((await bus.depth(desk)).deadLettered > 0) return n;
    kit.check(Date.now() < until, 'the one that kills is a dead letter in the end', [noteId(POISON)]);
    await publishNotes(bus, [n]);
    await sleep(200);
  }
}

/** The longest time until the loop ended in which nothing was handled. */
function longestQuiet(kit: Kit, startedAt: number, endedAt: number): number {
  const handledAt = reportsOf(kit, 'handled')
    .map(({ at }) => at)
    .filter((at) => at < endedAt);
  const times = [startedAt, ...handledAt.toSorted((left, right) => left - right), endedAt];
  return Math.max(...times.map((at, index) => at - (times[index - 1] ?? at)));
}

const CRASHING: Omit<Program, 'prefix'> = {
  queue: 'desk',
  rules: [
    { only: [POISON], then: 'kill' },
    { then: 'handle', afterMs: 20 },
  ],
  options: { concurrency: 32 },
};

/** Processes that are started again 0.5 s after they died. */
class Crew {
  kills = 0;
  readonly #kit: Kit;
  readonly #alive = new Set<Worker>();
  #loops: readonly Promise<void>[] = [];
  #stopped = false;

  constructor(kit: Kit) {
    this.#kit = kit;
  }

  keep(size: number): void {
    this.#loops = Array.from({ length: size }, () => this.#keepOne());
  }

  /** Resolves once all of them are dead. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const worker of this.#alive) worker.kill();
    await Promise.all(this.#loops);
  }

  async #keepOne(): Promise<void> {
    while (!this.#stopped) {
      // One that dies before it says that it is ready was killed as well.
      const worker = await this.#kit.worker(CRASHING, { leaseMs: 10_000 }).catch(() => undefined);
      if (worker !== undefined) await this.#outlive(worker);
      if (this.#stopped) return;
      this.kills += 1;
      await sleep(500);
    }
  }

  async #outlive(worker: Worker): Promise<void> {
    this.#alive.add(worker);
    if (this.#stopped) worker.kill();
    await worker.ended;
    this.#alive.delete(worker);
  }
}
