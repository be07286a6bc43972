/** Something to wait for that is not lost when it happens between looking and waiting. */
export class Wakeable {
  #count = 0;
  #waiting: (() => void)[] = [];

  /** Look at it before what decides whether to wait. */
  get count(): number {
    return this.#count;
  }

  wake(): void {
    this.#count += 1;
    if (this.#waiting.length === 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Resolves at the next {@link wake}, at once if there was one since `seen`. */
  wait(seen: number): Promise<void> {
    if (seen !== this.#count) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
