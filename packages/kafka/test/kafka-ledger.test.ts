import { describe, expect, test } from 'vitest';
import { Ledger, type Slot } from '../src/kafka-ledger.ts';
import { readProgress } from '../src/kafka-offsets.ts';
import { LedgerModel, type Life } from './ledger-model.ts';
import { randomOf } from './random.ts';

const START = readProgress(0, '');

function opened(stored: { readonly offset: number; readonly metadata: string }, length: number): [Ledger, Slot[]] {
  const ledger = new Ledger(readProgress(stored.offset, stored.metadata), true);
  return [ledger, readTo(ledger, length)];
}

function readTo(ledger: Ledger, length: number): Slot[] {
  const slots: Slot[] = [];
  while (ledger.next < length) {
    const slot = ledger.add(ledger.next);
    if (slot !== undefined) slots.push(slot);
  }
  return slots;
}

const offsetsOf = (slots: readonly Slot[]): number[] => slots.map(({ offset }) => offset);
const countsOf = (slots: readonly Slot[]): number[] => slots.map(({ before }) => before);

function finish(ledger: Ledger, slot: Slot): void {
  ledger.hand(slot);
  slot.done = true;
}

/** A process that hands out what `chosen` says, tells the broker, and dies. */
function dies(ledger: Ledger, slots: readonly Slot[], chosen: (slot: Slot) => boolean) {
  for (const slot of slots) if (chosen(slot)) ledger.hand(slot);
  const written = ledger.write('me', 0, false);
  written.told();
  return written;
}

describe('what is finished', () => {
  test('the offset stands at the oldest that is not, and moves when it is', () => {
    const ledger = new Ledger(START, true);
    const [first, second, third] = readTo(ledger, 3) as [Slot, Slot, Slot];
    finish(ledger, third);
    expect([ledger.offset, ledger.size, ledger.next]).toEqual([0, 3, 3]);
    finish(ledger, first);
    expect([ledger.offset, ledger.size]).toEqual([1, 2]);
    finish(ledger, second);
    expect([ledger.offset, ledger.size]).toEqual([3, 0]);
  });

  test('the next owner gets what is not finished, and nothing else', () => {
    const ledger = new Ledger(START, true);
    for (const slot of readTo(ledger, 10)) if (slot.offset % 3 !== 0) finish(ledger, slot);
    expect(offsetsOf(opened(ledger.write('me', 0, false), 10)[1])).toEqual([0, 3, 6, 9]);
  });

  test('what an earlier owner finished stays finished, however much of it the next one has read', () => {
    for (const length of [1, 5, 9, 10, 15]) {
      const ledger = new Ledger(START, true);
      for (const slot of readTo(ledger, 10)) if (slot.offset > 0 && slot.offset !== 4) finish(ledger, slot);
      const [second] = opened(ledger.write('first', 0, false), length);
      const [, third] = opened(second.write('second', 0, false), 12);
      expect(offsetsOf(third)).toEqual([0, 4, 10, 11]);
    }
  });

  test('offsets that do not exist hold nothing up', () => {
    const ledger = new Ledger(START, true);
    const slot = ledger.add(5) as Slot;
    ledger.skipTo(9);
    expect([ledger.offset, ledger.next]).toEqual([5, 9]);
    finish(ledger, slot);
    expect(ledger.offset).toBe(9);
    ledger.skipTo(3);
    expect(ledger.next).toBe(9);
  });

  test('what does not fit the metadata is handed out again, and what is not finished always', () => {
    const ledger = new Ledger(START, true);
    const slots = readTo(ledger, 20_000);
    for (const slot of slots) if (slot.offset % 2 === 1) finish(ledger, slot);
    const again = new Set(offsetsOf(opened(ledger.write('me', 0, false), 20_000)[1]));
    expect(slots.filter((slot) => !slot.done && !again.has(slot.offset))).toEqual([]);
    expect(again.has(1)).toBe(false);
  });

  test('a long run keeps no record that is finished', () => {
    const ledger = new Ledger(START, true);
    for (let round = 0; round < 100; round += 1) {
      for (const slot of readTo(ledger, (round + 1) * 1_000)) finish(ledger, slot);
      expect([ledger.offset, ledger.size]).toEqual([(round + 1) * 1_000, 0]);
    }
  });
});

describe('how often it was handed out', () => {
  test('a process that dies charges what it had', () => {
    const [, slots] = opened(
      dies(...opened({ offset: 0, metadata: '' }, 5), () => true),
      5,
    );
    expect(countsOf(slots)).toEqual([1, 1, 1, 1, 1]);
  });

  test('a process that gives it back charges only what is in hand', () => {
    const ledger = new Ledger(START, true);
    for (const slot of readTo(ledger, 5)) if (slot.offset < 2) ledger.hand(slot);
    expect(countsOf(opened(ledger.write('me', 0, true), 5)[1])).toEqual([1, 1, 0, 0, 0]);
    const counted = opened(
      dies(...opened({ offset: 0, metadata: '' }, 5), () => true),
      5,
    );
    for (const slot of counted[1]) if (slot.offset === 4) counted[0].hand(slot);
    expect(countsOf(opened(counted[0].write('me', 0, true), 5)[1])).toEqual([1, 1, 1, 1, 2]);
  });

  test('once it is known, what was not handed out is not charged', () => {
    let stored = dies(...opened({ offset: 0, metadata: '' }, 6), () => true);
    stored = dies(...opened(stored, 6), ({ offset }) => offset < 4);
    stored = dies(...opened(stored, 6), ({ offset }) => offset === 5 || offset === 1);
    expect(countsOf(opened(stored, 6)[1])).toEqual([2, 3, 2, 2, 1, 2]);
  });

  test('one that is handed out alone climbs alone', () => {
    let stored = dies(...opened({ offset: 0, metadata: '' }, 8), () => true);
    for (let death = 0; death < 2; death += 1) stored = dies(...opened(stored, 8), () => true);
    for (let death = 0; death < 9; death += 1) stored = dies(...opened(stored, 8), ({ offset }) => offset === 4);
    expect(countsOf(opened(stored, 8)[1])).toEqual([3, 3, 3, 3, 12, 3, 3, 3]);
  });

  test('the broker knows before anything is handed out, and not once for each', () => {
    const ledger = new Ledger(START, true);
    const slots = readTo(ledger, 100);
    expect(slots.every((slot) => ledger.mustTell(slot))).toBe(true);
    const { told } = ledger.write('me', 0, false);
    expect(slots.every((slot) => ledger.mustTell(slot))).toBe(true);
    told();
    expect(slots.some((slot) => ledger.mustTell(slot))).toBe(false);
    expect(readTo(ledger, 1_000).some((slot) => ledger.mustTell(slot))).toBe(false);
    expect(ledger.runsLow).toBe(false);
    const later = readTo(ledger, 3_000);
    expect(ledger.runsLow).toBe(true);
    expect(ledger.mustTell(later.at(-1) as Slot)).toBe(true);
  });

  test('after it was given back the broker has to be told again', () => {
    const ledger = new Ledger(START, true);
    const [slot] = readTo(ledger, 1) as [Slot];
    ledger.write('me', 0, false).told();
    ledger.write('me', 0, true).told();
    expect(ledger.mustTell(slot)).toBe(true);
  });

  test('it may have been given back although nobody said so', () => {
    const ledger = new Ledger(START, true);
    const [slot] = readTo(ledger, 1) as [Slot];
    ledger.write('me', 0, false).told();
    // The answer was lost.
    ledger.write('me', 0, true);
    expect(ledger.mustTell(slot)).toBe(true);
  });

  test('a lane that is not counted writes no charges and tells nothing in advance', () => {
    const ledger = new Ledger(START, false);
    const [slot] = readTo(ledger, 3) as [Slot];
    ledger.hand(slot);
    expect([ledger.mustTell(slot), ledger.runsLow]).toEqual([false, false]);
    expect(readProgress(0, ledger.write('me', 0, false).metadata).charges).toEqual([]);
  });
});

describe('any sequence of lives', () => {
  const SEEDS = 150;
  const act = (life: Life, random: (below: number) => number): void => {
    const action = random(10);
    if (action < 3) life.read(random(12));
    else if (action < 6) life.handOut(random(6), random);
    else if (action < 8) life.finish(random(8), random);
    else if (action === 8) life.write('stored');
    else life.write(random(2) === 0 ? 'lost' : 'stored, but not said so');
  };

  test('exactly what is not finished comes again, counted as often as it was in a process that died', () => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const random = randomOf(seed);
      const model = new LedgerModel(seed, 60 + random(60), random);
      for (let lives = 0; lives < 10; lives += 1) {
        const life = model.open();
        for (let actions = random(30); actions > 0; actions -= 1) act(life, random);
        if (random(2) === 0) life.die();
        else life.giveBack();
      }
      model.open().finishAll();
      expect(readProgress(model.stored.offset, model.stored.metadata).holes).toEqual([]);
      expect(model.stored.offset, model.name).toBe(model.length);
    }
  });
});
