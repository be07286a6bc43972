import { setTimeout as sleep } from 'node:timers/promises';
import { BatchError, type Bus, type OutgoingMessage, WaybillError } from '@waybill/core';
import { desk, Noted, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { noteId, range } from './retry-helpers.ts';

export const stored: readonly Scenario[] = [
  {
    id: 'stored-before-resolve',
    guarantee: 'stored',
    sentence: 'publish resolves only after the broker stored the message',
    needs: ['admin'],
    deadlineMs: 120_000,
    quick: true,
    async run(kit) {
      const bus = kit.bus();
      await bus.provision();
      const early: string[] = [];
      const isStored = (id: string): boolean =>
        kit.history.entries.some((entry) => entry.id === id && entry.what === 'stored');
      await Promise.all(
        range(0, 50).map(async (n) => {
          await bus.publish(Noted, { n }, { id: noteId(n) });
          if (!isStored(noteId(n))) early.push(noteId(n));
        }),
      );
      kit.same(early, [], 'publishes that resolved before the driver had stored them', early);
      await depthBecomes(kit, bus, 50);
    },
  },
  {
    id: 'stored-refused-alone',
    guarantee: 'stored',
    sentence:
      'what the broker refuses rejects alone, with its own code; all that is sent beside it is stored, and once',
    needs: ['admin'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const batch: OutgoingMessage[] = [];
      for (const n of range(0, 40)) {
        const message = await bus.prepareSend(desk, Work, { n }, { id: `work-${n}` });
        batch.push(n % 8 === 3 ? { ...message, target: { queue: `${kit.prefix}.nowhere`, lane: 'work' } } : message);
      }
      const tooLarge = bus.send(desk, Work, { n: 40, text: 'x'.repeat(kit.capabilities.maxMessageBytes) });
      const beside = range(0, 20).map((n) => bus.send(desk, Work, { n }, { id: `beside-${n}` }));
      const [dispatched] = await Promise.all([
        bus.dispatch(batch).then(
          () => [],
          (error: unknown) => (BatchError.is(error) ? error.failures : [{ index: -1, error }]),
        ),
        kit.rejects(tooLarge, 'TOO_LARGE', 'one that is too large'),
        ...beside,
      ]);
      kit.same(
        dispatched.map(({ index, error }) => [index, WaybillError.is(error) ? error.code : String(error)]),
        [3, 11, 19, 27, 35].map((index) => [index, 'NOT_FOUND']),
        'the refused sends',
        ['work-3', 'work-2'],
      );
      await depthBecomes(kit, bus, 35 + 20);
      const arrived = await readDesk(kit, ['work-0'], 10_000);
      kit.same(
        [...arrived].filter((id) => /^work-(3|11|19|27|35)$/.test(id) || !/^(work|beside)-/.test(id)),
        [],
        'refused messages that arrive',
      );
      kit.same(arrived.size, 55, 'the messages that arrive');
    },
  },
  {
    id: 'stored-lost-confirms',
    guarantee: 'stored',
    sentence:
      'when confirms get lost a publish ends with TIMEOUT, which means that it may be stored; one that is not stored is UNAVAILABLE',
    needs: ['admin'],
    faults: ['loseConfirms', 'cut'],
    deadlineMs: 60_000,
    async run(kit: Kit) {
      const bus = kit.bus({ sendTimeoutMs: 3_000 });
      await bus.provision();
      const load = new Publishes(bus);
      await load.publish(range(0, 50));
      kit.same(load.ids('TIMEOUT', 'UNAVAILABLE'), [], 'rejected without a fault');
      await kit.faults.loseConfirms(true);
      await load.publish(range(50, 150));
      await kit.faults.cut();
      await kit.faults.loseConfirms(false);
      kit.same(load.ids('stored').length, 50, 'nothing resolves without a confirm');
      await load.untilStored(kit, range(150, 1_000), 20_000);
      checkUnknown(kit, load, await checkStored(kit, load));
    },
  },
  {
    id: 'stored-unanswered',
    guarantee: 'stored',
    sentence:
      'a publish that is stored without an answer, and cannot be tried again, ends with TIMEOUT: UNAVAILABLE would say that it is not there',
    needs: ['admin'],
    faults: ['loseConfirms', 'down', 'start'],
    deadlineMs: 90_000,
    alone: true,
    async run(kit: Kit) {
      const bus = kit.bus({ sendTimeoutMs: 4_000 });
      await bus.provision();
      const load = new Publishes(bus);
      await load.publish(range(0, 50));
      await kit.faults.loseConfirms(true);
      const publishing = load.publish(range(50, 100));
      try {
        // Nobody can be asked meanwhile whether they are stored.
        await sleep(1_500);
        await kit.down();
        await publishing;
      } finally {
        await kit.faults.start();
        await kit.faults.loseConfirms(false);
      }
      kit.same(load.ids('stored').length, 50, 'nothing resolves without a confirm');
      await load.untilStored(kit, range(200_000, 201_000), 20_000);
      checkUnknown(kit, load, await checkStored(kit, load));
    },
  },
  {
    id: 'stored-broker-killed',
    guarantee: 'stored',
    sentence:
      'what resolved right before the broker was killed is there when it is back; what was rejected as UNAVAILABLE is not',
    needs: ['admin'],
    faults: ['down', 'start'],
    deadlineMs: 120_000,
    alone: true,
    async run(kit: Kit) {
      const bus = kit.bus({ sendTimeoutMs: 2_000 });
      await bus.provision();
      const load = new Publishes(bus);
      const publishing = load.publish(range(0, 100_000), 10);
      await kit.eventually('500 are stored', () => load.ids('stored').length >= 500, 20_000);
      await kit.down('node');
      const meanwhile = range(100_000, 100_050);
      try {
        await load.publish(meanwhile);
      } finally {
        load.stop();
        await kit.faults.start();
      }
      await publishing;
      const resolved = new Set(load.ids('stored'));
      const early = meanwhile.map(noteId).filter((id) => resolved.has(id));
      // What is left of a cluster stores them.
      if ((kit.harness.nodes ?? 1) === 1) kit.same(early, [], 'what resolves without a broker');
      await load.untilStored(kit, range(200_000, 201_000), 20_000);
      // What is rejected and tried all the same is stored by then.
      await bus.close({ deadlineMs: 10_000 });
      await checkStored(kit, load);
    },
  },
];

/** TIMEOUT means that it may be stored, and some are. */
function checkUnknown(kit: Kit, load: Publishes, arrived: ReadonlySet<string>): void {
  const unknown = load.ids('TIMEOUT');
  kit.check(
    unknown.some((id) => arrived.has(id)),
    `of ${unknown.length} that ended with TIMEOUT the broker stored some`,
    unknown.slice(0, 3),
  );
}

/** Resolves once the depth, which some brokers tell late, says so. */
async function depthBecomes(kit: Kit, bus: Bus, count: number): Promise<void> {
  let ready = -1;
  const counted = async (): Promise<boolean> => {
    ({ ready } = await bus.depth(desk));
    return ready === count;
  };
  await kit.eventually('the depth is true', counted, kit.harness.depthWithinMs ?? 90_000).catch(() => undefined);
  kit.same(ready, count, 'messages in the queue');
}

/** Publishes of notes, and what became of each. */
class Publishes {
  readonly #bus: Bus;
  readonly #ended = new Map<string, string>();
  #stopped = false;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Resolves once all have ended; so many are in flight at a time. */
  async publish(numbers: readonly number[], inFlight = numbers.length): Promise<void> {
    const waiting = [...numbers];
    const next = async (): Promise<void> => {
      for (let n = waiting.shift(); n !== undefined && !this.#stopped; n = waiting.shift()) await this.#one(n);
    };
    await Promise.all(Array.from({ length: inFlight }, next));
  }

  /** What waits for its turn is not published any more. */
  stop(): void {
    this.#stopped = true;
  }

  /** The faults are over: one after the other, until one is stored. */
  async untilStored(kit: Kit, numbers: readonly number[], withinMs: number): Promise<void> {
    const until = Date.now() + withinMs;
    for (const n of numbers) {
      if ((await this.#one(n)) === 'stored') return;
      kit.check(Date.now() < until, `a publish is stored within ${withinMs} ms after the faults`, [noteId(n)]);
    }
  }

  /** Of those that ended so. */
  ids(...ends: readonly string[]): readonly string[] {
    return [...this.#ended].filter(([, end]) => ends.includes(end)).map(([id]) => id);
  }

  /** Codes beside those of an outage. */
  get otherCodes(): readonly string[] {
    return [...new Set(this.#ended.values())].filter((end) => !['stored', 'TIMEOUT', 'UNAVAILABLE'].includes(end));
  }

  async #one(n: number): Promise<string> {
    const id = noteId(n);
    const end = await this.#bus.publish(Noted, { n }, { id }).then(
      () => 'stored',
      (error: unknown) => (WaybillError.is(error) ? error.code : String(error)),
    );
    this.#ended.set(id, end);
    return end;
  }
}

/** All that resolved arrives, nothing that was rejected as not stored does. */
async function checkStored(kit: Kit, load: Publishes): Promise<ReadonlySet<string>> {
  kit.same(load.otherCodes, [], 'other rejections');
  const arrived = await readDesk(kit, load.ids('stored'), 15_000);
  const risen = load.ids('UNAVAILABLE').filter((id) => arrived.has(id));
  kit.check(risen.length === 0, `nothing arrives that was not stored: ${risen.length} do`, risen.slice(0, 3));
  return arrived;
}

/** Reads the queue until it is empty. Fails when one of `wanted` does not arrive. */
async function readDesk(kit: Kit, wanted: readonly string[], withinMs: number): Promise<ReadonlySet<string>> {
  const bus = kit.bus();
  const arrived = new Set<string>();
  const handle = (_: unknown, { metadata }: { readonly metadata: { readonly id: string } }): void =>
    void arrived.add(metadata.id);
  const consumer = await bus.consume(desk, { [Noted.type]: handle, [Work.type]: handle }, { concurrency: 100 });
  const missing = (): readonly string[] => wanted.filter((id) => !arrived.has(id));
  await kit.eventually('all arrive', () => missing().length === 0, withinMs).catch(() => undefined);
  const lost = missing();
  kit.check(
    lost.length === 0,
    `all of ${wanted.length} that were stored arrive; ${lost.length} do not`,
    lost.slice(0, 3),
  );
  const nothingLeft = async (): Promise<boolean> => consumer.health().held === 0 && (await bus.depth(desk)).ready === 0;
  await kit.eventually('the queue is empty', nothingLeft, 90_000);
  return arrived;
}
