import { expect } from 'vitest';
import { Ledger, type Slot } from '../src/kafka-ledger.ts';
import { readProgress } from '../src/kafka-offsets.ts';

type Random = (below: number) => number;
/** The fewest and the most hand-outs by processes that died. */
type Count = readonly [least: number, most: number];

/** A partition and what must be known of it, by the plainest means. */
export class LedgerModel {
  readonly name: string;
  readonly length: number;
  /** What is in the log; compaction left out the others. */
  readonly offsets: readonly number[];
  stored: { readonly offset: number; readonly metadata: string } = { offset: 0, metadata: '' };
  /** As far as it is stored. */
  finished: ReadonlySet<number> = new Set();
  readonly counts = new Map<number, Count>();

  constructor(seed: number, length: number, random: Random) {
    this.name = `seed ${seed}`;
    this.length = length;
    this.offsets = Array.from({ length }, (_, offset) => offset).filter(() => random(8) > 0);
  }

  open(): Life {
    return new Life(this);
  }
}

/** One process that has the partition. */
export class Life {
  readonly #model: LedgerModel;
  readonly #ledger: Ledger;
  readonly #slots = new Map<number, Slot>();
  readonly #finished: Set<number>;

  constructor(model: LedgerModel) {
    this.#model = model;
    this.#ledger = new Ledger(readProgress(model.stored.offset, model.stored.metadata), true);
    this.#finished = new Set(model.finished);
  }

  read(most: number): void {
    const { offsets, length, name } = this.#model;
    const ahead = offsets.filter((offset) => offset >= this.#ledger.next).slice(0, most);
    for (const offset of ahead) {
      const slot = this.#ledger.add(offset);
      const where = `${name}, offset ${offset}`;
      expect(slot === undefined, where).toBe(this.#model.finished.has(offset));
      if (slot === undefined) continue;
      const [least, mostCount] = this.#model.counts.get(offset) ?? [0, 0];
      expect(slot.before, where).toBeGreaterThanOrEqual(least);
      expect(slot.before, where).toBeLessThanOrEqual(mostCount);
      this.#slots.set(offset, slot);
    }
    if (ahead.length < most) this.#ledger.skipTo(length);
  }

  handOut(most: number, random: Random): void {
    const waiting = [...this.#slots.values()].filter(({ handed }) => !handed);
    const from = random(waiting.length + 1);
    const taken = waiting.slice(from, from + most);
    const mustTell = taken.some((slot) => this.#ledger.mustTell(slot));
    for (const slot of taken) this.#ledger.hand(slot);
    if (mustTell) this.write('stored');
  }

  finish(most: number, random: Random): void {
    for (let count = 0; count < most; count += 1) {
      const held = [...this.#slots.values()].filter(({ handed, done }) => handed && !done);
      const slot = held[random(held.length || 1)];
      if (slot === undefined) return;
      slot.done = true;
      this.#finished.add(slot.offset);
    }
  }

  write(outcome: 'stored' | 'stored, but not said so' | 'lost', clean = false): void {
    const { offset, metadata, told } = this.#ledger.write('owner', 0, clean);
    const oldest = this.#model.offsets.find((each) => !this.#finished.has(each)) ?? this.#model.length;
    expect(offset, this.#model.name).toBeLessThanOrEqual(oldest);
    if (outcome === 'lost') return;
    this.#model.stored = { offset, metadata };
    this.#model.finished = new Set(this.#finished);
    if (outcome === 'stored') told();
  }

  die(): void {
    this.#count((before, handed) => {
      if (handed) return [before + 1, before + 1];
      // Before it is known, what is next counts as handed out.
      return before === 0 ? [0, 1] : [before, before];
    });
  }

  giveBack(): void {
    this.write('stored', true);
    this.#count((before, handed) => (handed ? [before + 1, before + 1] : [before, before]));
  }

  finishAll(): void {
    this.read(this.#model.length + 1);
    for (const [offset, slot] of this.#slots) {
      this.#ledger.hand(slot);
      slot.done = true;
      this.#finished.add(offset);
    }
    this.write('stored', true);
  }

  #count(counted: (before: number, handed: boolean) => Count): void {
    const { offsets, counts } = this.#model;
    for (const offset of offsets) {
      const slot = this.#slots.get(offset);
      const [least, most] = counts.get(offset) ?? [0, 0];
      if (slot !== undefined) counts.set(offset, counted(slot.before, slot.handed));
      // Not read: known stays known.
      else if (least === 0) counts.set(offset, [0, Math.max(1, most)]);
    }
  }
}
