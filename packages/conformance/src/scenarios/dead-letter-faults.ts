import { type Bus, Reject } from '@waybill/core';
import { desk } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { CRASHING, killTwice, repeatsHeld } from './copy-window.ts';
import {
  BAD,
  consumeMixed,
  GOOD,
  isDelayed,
  LEASE_MS,
  publishMixed,
  ran,
  ranOnce,
  REJECTING,
  settledOf,
  storedOnce,
} from './copy-store.ts';
import { bookkeepingFits } from './dead-letter.ts';
import {
  cloudEvent,
  digest,
  foreign,
  LetterOutage,
  lettersOnceThere,
  LONG_ERROR,
  Mortal,
  stillTheLetters,
} from './dead-letter-helpers.ts';
import { emptied, publishNotes, quiet, range, REPEATS_PER_SLOT, reportsOf } from './retry-helpers.ts';

const OUTAGE_MS = 20_000;

export const deadLetterFaults: readonly Scenario[] = [
  {
    id: 'copy-store-down',
    guarantee: 'dead-letter',
    sentence:
      'while no copy can be stored, good messages flow and the others are neither run again nor settled; then each is stored once',
    needs: ['delay', 'admin'],
    deadlineMs: 120_000,
    async run(kit: Kit) {
      const outage = new LetterOutage(kit, isDelayed);
      const bus = kit.bus({ driver: { leaseMs: LEASE_MS }, seam: outage.seam });
      await bus.provision();
      await publishMixed(kit, bus);
      await outage.begin(bus);
      const over = Date.now() + OUTAGE_MS;
      const runs = await consumeMixed(bus);
      await kit.eventually('all good ones are handled during the outage', () => ran(runs, GOOD, 1), OUTAGE_MS);
      await kit.eventually('the outage is over', () => Date.now() > over, OUTAGE_MS + 5_000);
      ranOnce(kit, runs, [...GOOD, ...BAD], 1);
      kit.same(settledOf(kit, BAD), [], 'no source is settled during the outage');
      await outage.end(bus);
      await storedOnce(kit, bus, runs);
      ranOnce(kit, runs, GOOD, 1);
    },
  },
  {
    id: 'copy-store-killed',
    guarantee: 'dead-letter',
    sentence:
      'a process that dies while no copy can be stored leaves what it failed and rejected to the next one, and then each is stored once',
    needs: ['delay', 'admin'],
    deadlineMs: 120_000,
    async run(kit: Kit) {
      const outage = new LetterOutage(kit, isDelayed);
      const mortal = new Mortal();
      const driver = { leaseMs: LEASE_MS };
      const first = kit.bus({ driver, seam: (made) => mortal.seam(outage.seam(made)) });
      await first.provision();
      const second = kit.bus({ driver, seam: outage.seam });
      await second.provision();
      await publishMixed(kit, second);
      await outage.begin(second);
      const before = await consumeMixed(first);
      await kit.eventually('the first process ran all of them', () => ran(before, [...GOOD, ...BAD], 1), 40_000);
      await mortal.die();
      kit.same(settledOf(kit, BAD), [], 'no source is settled by the first process');
      const after = await consumeMixed(second);
      await kit.eventually('the second process runs again what was not stored', () => ran(after, BAD, 1), 45_000);
      const later = range(240, 260);
      await publishNotes(second, later);
      await kit.eventually('good ones are handled meanwhile', () => ran(after, later, 1), 20_000);
      kit.same(settledOf(kit, BAD), [], 'no source is settled during the outage');
      await outage.end(second);
      await storedOnce(kit, second, after);
      await kit.eventually(
        'no letter is stored twice',
        async () => (await second.depth(desk)).deadLettered === REJECTING.length,
        90_000,
      );
    },
  },
  {
    id: 'dead-letter-refused-then-killed',
    guarantee: 'dead-letter',
    sentence:
      'a process that is killed while the dead lane refuses its letters leaves them to the next one, which stores each once',
    needs: ['admin'],
    faults: ['refuseDeadLane', 'kill-process'],
    deadlineMs: 90_000,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const program = { queue: 'desk', rules: [{ only: range(0, 10), then: 'reject' }] } as const;
      const first = await kit.worker(program, { leaseMs: 5_000 });
      await publishNotes(bus, [10]);
      // Now that both have begun: at its first use a bus makes what is missing.
      await kit.faults.refuseDeadLane(kit.physical(bus, desk), true);
      await publishNotes(bus, range(0, 10));
      await kit.eventually(
        'the first process rejected all',
        () => first.reports.filter(({ what }) => what === 'failed').length === 10,
        20_000,
      );
      first.kill();
      await first.ended;
      const second = await kit.worker(program, { leaseMs: 5_000 });
      const again = (): readonly (typeof second.reports)[number][] =>
        second.reports.filter(({ what }) => what === 'failed');
      await kit.eventually('the second process has all of them', () => again().length === 10, 20_000);
      kit.check(
        again().every(({ attempt, redelivered }) => attempt === 1 && redelivered),
        'they come again with the attempt that was not decided',
        again().map(({ id }) => id),
      );
      await kit.faults.refuseDeadLane(kit.physical(bus, desk), false);
      const letters = await lettersOnceThere(kit, bus, desk, { count: 10, withinMs: 20_000 });
      kit.check(
        letters.every(({ reason, attempts }) => reason === 'rejected' && attempts === 1),
        'each letter has the reason and attempt of its handler',
      );
      await second.close();
      kit.same(
        [again().length, (await bus.depth(desk)).deadLettered],
        [10, 10],
        'no handler ran again and no letter is stored twice',
      );
      await emptied(kit, bus, desk);
      await stillTheLetters(kit, bus, desk, letters);
    },
  },
  {
    id: 'dead-letter-copy-window',
    guarantee: 'dead-letter',
    sentence:
      'processes killed between a letter and the settlement of its source lose nothing; equal letters are listed once',
    needs: ['admin'],
    faults: ['kill-process'],
    deadlineMs: 120_000,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const { count, concurrency, leaseMs } = CRASHING;
      const rules = [{ only: range(0, count), then: 'reject' }] as const;
      const program = { queue: 'desk', rules, options: { concurrency } } as const;
      const killed = await killTwice(kit, bus, program, 'dead');
      await kit.worker(program, { leaseMs });
      const letters = await lettersOnceThere(kit, bus, desk, { count, withinMs: 45_000 });
      kit.same(new Set(letters.map(({ id }) => id)).size, count, 'every message is a dead letter');
      await quiet(kit, bus, leaseMs, () => reportsOf(kit, 'started').length);
      const held = REPEATS_PER_SLOT * concurrency;
      // Where the broker moves letters itself, a letter that is stored has no source left.
      repeatsHeld(kit, killed, kit.capabilities.reject === 'annotated' ? 0 : 2, held);
      const [runs, { deadLettered }] = [
        reportsOf(kit, 'started').filter(({ n }) => n < count).length,
        await bus.depth(desk),
      ];
      kit.check(runs <= count + 2 * held, `two kills repeat at most twice ${held}: ${runs} runs`);
      kit.check(
        deadLettered <= count + 2 * held,
        `two kills store at most twice ${held} a second time: ${deadLettered}`,
      );
    },
  },
  {
    id: 'dead-letter-foreign-at-limit',
    guarantee: 'dead-letter',
    sentence:
      "others' messages that fill the broker's limit, in body or headers, are dead letters with their bytes, and stall nothing",
    needs: ['delay', 'admin'],
    deadlineMs: 120_000,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const bodies = new Map<string, Uint8Array>();
      for (const id of ['binary', 'rejected', 'failed']) bodies.set(id, await sendLargest(kit, bus, id));
      const small = cloudEvent({ id: 'headers', data: { n: 1 } });
      const header = await longestHeader(kit, bus, small);
      bodies.set('headers', small);
      await bus.dispatch([foreign(kit, desk, { id: 'headers', body: small, headers: { note: header } })]);
      await publishNotes(bus, range(10, 20));
      const handled = new Set<number>();
      const handle = ({ n }: { n: number }): void => {
        if (n === 2) throw new Error(LONG_ERROR);
        if (n < 10) throw new Reject(LONG_ERROR);
        handled.add(n);
      };
      await bus.consume(
        desk,
        { 'conformance.noted': handle, 'conformance.work': handle },
        { retry: { delaysMs: [100] } },
      );
      const letters = await lettersOnceThere(kit, bus, desk, { count: 4, withinMs: 30_000 });
      const found = letters.map(({ delivery }) => digest(delivery.body)).toSorted();
      kit.same(found, [...bodies.values()].map(digest).toSorted(), 'every one is a dead letter with its bytes', [
        ...bodies.keys(),
      ]);
      const kept = letters.find(({ id }) => id === 'headers')?.delivery.headers['note'];
      kit.check(
        kept === header,
        `a letter keeps the headers of its source: ${kept?.length} of ${header.length} characters`,
        ['headers'],
      );
      // One that fills the limit has no room for any.
      for (const letter of letters) bookkeepingFits(kit, letter, 0);
      await kit.eventually('the good ones behind them are handled', () => handled.size === 10, 20_000);
      await emptied(kit, bus, desk);
    },
  },
];

/** Sends the largest body that the broker takes, not through `publish`; resolves with it. */
async function sendLargest(kit: Kit, bus: Bus, id: string): Promise<Uint8Array> {
  const most = kit.capabilities.maxMessageBytes;
  // A broker of texts takes a quarter less of bytes that are none.
  for (const spare of [0, 256, 1_024, 4_096, Math.ceil(most / 4) + 8_192]) {
    const body =
      id === 'binary'
        ? new Uint8Array(most - spare).fill(0xff)
        : cloudEvent({ id, data: { n: id === 'failed' ? 2 : 1 } }, most - spare);
    try {
      await bus.dispatch([foreign(kit, desk, { id, body })]);
      return body;
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'TOO_LARGE') throw error;
    }
  }
  throw new Error(`the broker does not take three quarters of ${most} bytes`);
}

/** The longest header that the broker takes beside a body, found with messages that no queue gets. */
async function longestHeader(kit: Kit, bus: Bus, body: Uint8Array): Promise<string> {
  const target = { topic: `${kit.prefix}.jumps` };
  let [taken, refused] = [0, kit.capabilities.maxMessageBytes];
  while (refused - taken > 1) {
    const length = Math.floor((taken + refused) / 2);
    try {
      const headers = { note: 'x'.repeat(length) };
      await bus.dispatch([
        foreign(kit, desk, { id: `probe-${length}`, target, key: 'probe', type: 'conformance.probe', body, headers }),
      ]);
      taken = length;
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'TOO_LARGE') throw error;
      refused = length;
    }
  }
  return 'x'.repeat(taken);
}
