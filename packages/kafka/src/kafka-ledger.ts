import { type Charge, type Progress, writeProgress } from './kafka-offsets.ts';

/** One record that is not finished, or finished out of turn. */
export interface Slot {
  readonly offset: number;
  /** How often processes that died had it. */
  readonly before: number;
  /** And not put back. {@link Ledger.hand} sets it. */
  handed: boolean;
  done: boolean;
}

/** So far beyond what was read a process says in advance that it may hand out: no round trip before each hand-out. */
const RESERVE = 2_000;

/**
 * What is finished of a partition and what is not: the offset to commit, and the metadata that lets the next owner skip
 * what is finished beyond it and know what was handed out by a process that then died.
 */
export class Ledger {
  readonly #earlier: Progress;
  readonly #holes: ReadonlySet<number>;
  readonly #counts: boolean;
  #slots: Slot[] = [];
  #head = 0;
  #next: number;
  /** The last offset that was ever handed out. */
  #furthest = -1;
  /** Before it everything counts as handed out, as far as this process has said so to the broker, or will. */
  #reserved = 0;
  #reservedAtBroker = 0;

  /** `counts`: whether hand-outs are counted at all. */
  constructor(earlier: Progress, counts: boolean) {
    this.#earlier = earlier;
    this.#holes = new Set(earlier.holes);
    this.#counts = counts;
    this.#next = earlier.offset;
  }

  /** Where to read on. */
  get next(): number {
    return this.#next;
  }

  /** Everything before it is finished. */
  get offset(): number {
    this.#advance();
    return this.#slots[this.#head]?.offset ?? this.#next;
  }

  /** Between {@link offset} and {@link next}, finished or not. */
  get size(): number {
    this.#advance();
    return this.#slots.length - this.#head;
  }

  /** Undefined where an earlier owner has finished it. Offsets rise; what is left out in between does not exist. */
  add(offset: number): Slot | undefined {
    this.#next = offset + 1;
    if (offset < this.#earlier.end && !this.#holes.has(offset)) return undefined;
    const slot = { offset, before: this.#countBefore(offset), handed: false, done: false };
    this.#slots.push(slot);
    return slot;
  }

  /** Reading goes on here: what is between does not exist. */
  skipTo(next: number): void {
    if (next > this.#next) this.#next = next;
  }

  hand(slot: Slot): void {
    slot.handed = true;
    if (slot.offset > this.#furthest) this.#furthest = slot.offset;
  }

  /** Whether the broker must know that it is handed out before it is. */
  mustTell(slot: Slot): boolean {
    return this.#counts && (slot.before > 0 ? !slot.handed : slot.offset >= this.#reservedAtBroker);
  }

  /** The next commit should come soon. */
  get runsLow(): boolean {
    return this.#counts && this.#next > this.#reservedAtBroker - RESERVE / 2;
  }

  /**
   * What to commit now. `clean`: this process gives the partition back and lives, so only what is in hand counts.
   * `held`: how many are handed out. Call `told` once it is stored.
   */
  write(
    owner: string,
    held: number,
    clean: boolean,
  ): { readonly offset: number; readonly metadata: string; readonly told: () => void } {
    const { offset } = this;
    const open: Slot[] = [];
    // What an earlier owner finished stays so.
    let end = Math.max(this.#earlier.end, offset);
    // What was only read differs from what was not read by nothing but what earlier owners said of it.
    const known =
      this.#earlier.charges.length > 0 ? Number.POSITIVE_INFINITY : Math.max(this.#furthest, this.#earlier.end);
    for (let index = this.#head; index < this.#slots.length; index += 1) {
      const slot = this.#slots[index] as Slot;
      if (slot.offset > known) break;
      if (!slot.done) open.push(slot);
      else if (slot.offset >= end) end = slot.offset + 1;
    }
    const holes: number[] = [];
    for (const slot of open) if (slot.offset < end) holes.push(slot.offset);
    for (const hole of this.#earlier.holes) if (hole >= this.#next) holes.push(hole);
    const reserved = clean ? 0 : Math.max(this.#reserved, this.#next + RESERVE);
    this.#reserved = reserved;
    // It may be stored although nobody says so.
    if (reserved < this.#reservedAtBroker) this.#reservedAtBroker = reserved;
    const charges = this.#counts ? this.#charges(open, reserved) : [];
    const metadata = writeProgress({ offset, owner, holes, end, held: clean ? 0 : held, charges });
    return {
      offset,
      metadata,
      told: () => {
        this.#reservedAtBroker = reserved;
      },
    };
  }

  #advance(): void {
    while (this.#head < this.#slots.length && (this.#slots[this.#head] as Slot).done) this.#head += 1;
    if (this.#head > 64 && this.#head * 2 > this.#slots.length) {
      this.#slots = this.#slots.slice(this.#head);
      this.#head = 0;
    }
  }

  #charges(open: readonly Slot[], reserved: number): readonly Charge[] {
    const charges: { end: number; count: number }[] = [];
    const add = (end: number, count: number): void => {
      const last = charges.at(-1);
      if (last?.count === count) last.end = end;
      else if (end > (last?.end ?? -1)) charges.push({ end, count });
    };
    const fresh = (offset: number): number => (offset < reserved ? 1 : 0);
    for (const { offset, before, handed } of open) {
      const isNew = handed || (before === 0 && offset < reserved);
      add(offset + 1, before + (isNew ? 1 : 0));
    }
    // What was not read yet: as it was, and the reserve where nothing was.
    let from = this.#next;
    for (const { end, count } of this.#earlier.charges) {
      if (end <= from) continue;
      add(end, count === 0 ? fresh(from) : count);
      from = end;
    }
    if (reserved > from) add(reserved, 1);
    while (charges.at(-1)?.count === 0) charges.pop();
    return charges;
  }

  #countBefore(offset: number): number {
    for (const { end, count } of this.#earlier.charges) if (offset < end) return count;
    return 0;
  }
}
