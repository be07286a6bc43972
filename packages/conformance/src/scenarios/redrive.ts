import { archive, desk } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import {
  bodiesOf,
  DESK,
  DeskRuns,
  digestsOf,
  idsOf,
  letterId,
  makeLetters,
  publishLetters,
  range,
  watchArchive,
  WITH_ARCHIVE,
} from './redrive-letters.ts';

export const redrive: readonly Scenario[] = [
  {
    id: 'redrive-ends-by-itself',
    guarantee: 'redrive',
    sentence: 'redrive ends by itself, and moves each letter once, while a consumer makes all of them letters again',
    needs: ['admin'],
    deadlineMs: 120_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus(DESK);
      await makeLetters(kit, bus, range(0, 300));
      const runs = new DeskRuns();
      await runs.consume(kit.bus(DESK), () => true);
      kit.same(await bus.redrive(desk), { redriven: 300, kept: 0 }, 'what redrive did');
      await runs.handled(kit, range(0, 300));
      await kit.eventually('all are dead again', async () => (await bus.depth(desk)).deadLettered >= 300, 30_000);
      const letters = await kit.letters(bus, desk);
      kit.same(letters.map(({ id }) => id).toSorted(), idsOf(range(0, 300)), 'letters afterwards');
      const other = letters.filter(({ redrives, attempts }) => redrives !== 1 || attempts !== 1);
      kit.same(
        other.map(({ id, redrives, attempts }) => [id, redrives, attempts]),
        [],
        'letters without exactly one redrive and attempt',
        other.map(({ id }) => id),
      );
    },
  },
  {
    id: 'redrive-filter',
    guarantee: 'redrive',
    sentence: 'redrive moves only the letters that its filter picks, and leaves the others as they were',
    needs: ['admin'],
    deadlineMs: 120_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus(DESK);
      await makeLetters(kit, bus, range(0, 40));
      const before = await kit.letters(bus, desk);
      const runs = new DeskRuns();
      await runs.consume(kit.bus(DESK));
      const result = await bus.redrive(desk, { where: ({ reason }) => reason === 'rejected' });
      kit.same(result, { redriven: 20, kept: 20 }, 'what redrive did');
      const rejected = range(0, 40).filter((n) => n % 2 === 1);
      await runs.handled(kit, rejected);
      kit.same(runs.ids, idsOf(rejected), 'what is handled again');
      await kit.eventually(
        'the others count as letters',
        async () => (await bus.depth(desk)).deadLettered === 20,
        90_000,
      );
      const describe = (letters: typeof before): readonly string[] =>
        letters
          .filter(({ reason }) => reason === 'handler-failed')
          .map(
            ({ id, attempts, redrives, deadAt, error }) => `${id} ${attempts} ${redrives} ${deadAt} ${error?.message}`,
          )
          .toSorted();
      const after = await kit.letters(bus, desk);
      kit.same(after.length, 20, 'letters that stay');
      kit.same(describe(after), describe(before), 'letters that stay, and what is known of them');
    },
  },
  {
    id: 'redrive-keeps-many',
    guarantee: 'redrive',
    sentence: 'redrive picks a few from more letters than it can hold, and loses none of the others',
    needs: ['admin'],
    deadlineMs: 180_000,
    async run(kit: Kit) {
      const bus = kit.bus(DESK);
      const all = range(0, 1_250);
      const picked = all.filter((n) => n % 25 === 24);
      await makeLetters(kit, bus, all);
      const runs = new DeskRuns();
      await runs.consume(kit.bus(DESK));
      const wanted = new Set(idsOf(picked));
      kit.same(
        await bus.redrive(desk, { where: ({ id }) => wanted.has(id) }),
        { redriven: 50, kept: 1_200 },
        'what redrive did',
      );
      await runs.handled(kit, picked);
      kit.same(runs.ids, idsOf(picked), 'what is handled again');
      const rest = all.filter((n) => n % 25 !== 24);
      const listed = new Set((await kit.letters(bus, desk)).map(({ id }) => id));
      const lost = idsOf(rest).filter((id) => !listed.has(id));
      kit.same([lost.length, listed.size], [0, 1_200], 'letters lost, and left', lost.slice(0, 3));
      await kit.eventually(
        'each of them is kept once',
        async () => (await bus.depth(desk)).deadLettered === 1_200,
        90_000,
      );
    },
  },
  {
    id: 'redrive-max',
    guarantee: 'redrive',
    sentence: 'redrive moves no more letters than max, and the next one moves the rest',
    needs: ['admin'],
    deadlineMs: 120_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus(DESK);
      await makeLetters(kit, bus, range(0, 30));
      const runs = new DeskRuns();
      await runs.consume(kit.bus(DESK));
      kit.same((await bus.redrive(desk, { max: 7 })).redriven, 7, 'moved of at most 7');
      await kit.eventually('those 7 are handled', () => runs.ids.length >= 7, 30_000);
      await kit.eventually('23 letters are left', async () => (await bus.depth(desk)).deadLettered === 23, 90_000);
      const left = (await kit.letters(bus, desk)).map(({ id }) => id);
      kit.same([...left, ...runs.ids].toSorted(), idsOf(range(0, 30)), 'what is left or handled');
      kit.same((await bus.redrive(desk)).redriven, 23, 'moved by the next one');
      await runs.handled(kit, range(0, 30));
      kit.same(runs.first.length, 30, 'handler runs');
      kit.same(await kit.letters(bus, desk), [], 'letters at the end');
    },
  },
  {
    id: 'redrive-own-queue',
    guarantee: 'redrive',
    sentence:
      'redriven letters reach the queue they came from and no other, with the same id and body and attempts from 1',
    needs: ['admin'],
    deadlineMs: 120_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus(WITH_ARCHIVE);
      await bus.provision();
      const sibling = await watchArchive(kit.bus(WITH_ARCHIVE));
      await makeLetters(kit, bus, range(0, 20));
      await kit.eventually('the sibling has its own copies', () => sibling.length >= 20, 30_000);
      const before = await kit.letters(bus, desk);
      kit.same(
        [...new Set(before.map(({ topic, queue }) => `${queue} of ${topic ?? ''}`))],
        ['desk of notes'],
        'where the letters come from',
      );
      const runs = new DeskRuns();
      await runs.consume(kit.bus(DESK));
      await bus.redrive(desk);
      await publishLetters(bus, [99]);
      await runs.handled(kit, [...range(0, 20), 99]);
      await kit.eventually('the sibling sees what is published later', () => sibling.includes(letterId(99)), 30_000);
      kit.same(sibling.toSorted(), idsOf([...range(0, 20), 99]), 'what the sibling sees');
      const redriven = runs.first.filter(({ n }) => n < 20);
      kit.same(
        redriven.filter(({ context }) => context.attempt !== 1).map(({ id }) => id),
        [],
        'redriven messages whose attempt is not 1',
      );
      kit.same(redriven.length, 20, 'runs of redriven messages');
      kit.same(
        digestsOf(redriven.map(({ id, context }) => ({ id, body: context.delivery.body }))),
        bodiesOf(before),
        'ids and bodies',
      );
      kit.same((await kit.letters(bus, archive)).length, 0, 'letters of the sibling');
      checkNewIds(kit, range(0, 20));
    },
  },
];

/** No copy of a message has the id of an earlier one: brokers that deduplicate would swallow it. */
function checkNewIds(kit: Kit, numbers: readonly number[]): void {
  for (const id of idsOf(numbers)) {
    const copies = kit.history.entries
      .filter((entry) => entry.what === 'stored' && entry.id === id)
      .map(({ detail }) => detail);
    kit.check(copies.includes(`${id}#r1`), `the redriven copy of ${id} is seen, of ${copies.join(', ')}`, [id]);
    kit.same(
      new Set(copies).size,
      copies.length,
      `ids of the copies of ${id} that are not new, of ${copies.join(', ')}`,
      [id],
    );
  }
}
