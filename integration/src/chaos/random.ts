/** Mixes whole numbers into one of 32 bits: the same in every process and on every machine. */
export function mix(...numbers: readonly number[]): number {
  let mixed = 0x811c9dc5;
  for (const number of numbers) {
    mixed = Math.imul(mixed ^ number, 0x9e3779b1);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca77);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    mixed ^= mixed >>> 16;
  }
  return mixed >>> 0;
}

/** From 0 up to 1, of the same numbers always the same. */
export function chance(...numbers: readonly number[]): number {
  return mix(...numbers) / 2 ** 32;
}

/** Chance that a seed repeats. */
export class Random {
  readonly #seed: number;
  #draws = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** A whole number from `from` up to and including `to`. */
  between(from: number, to: number): number {
    this.#draws += 1;
    return from + Math.floor(chance(this.#seed, this.#draws) * (to - from + 1));
  }

  shuffled<T>(items: readonly T[]): readonly T[] {
    return items
      .map((item) => ({ item, place: this.between(0, 2 ** 31) }))
      .toSorted((left, right) => left.place - right.place)
      .map(({ item }) => item);
  }
}
