import { Problem, serverBusy } from './problem.ts';

export type Answered = 'sends' | 'settlements';

/** What goes wrong on purpose; set through the control port. */
export class Faults {
  readonly #refusals = new Map<string, Problem>();
  readonly #lostAnswers = new Map<string, number>();
  #busy: ReadonlySet<string> | 'everything' | undefined;

  /** Refuses sends to an entity, by default as full; no condition takes them again. */
  refuseSends(path: string, condition: string | undefined, description: string): void {
    if (condition === undefined) {
      this.#refusals.delete(path.toLowerCase());
    } else {
      this.#refusals.set(path.toLowerCase(), new Problem(condition, description, 403));
    }
  }

  /** Answers sends and requests as busy, of all entities or of some; undefined ends it. */
  throttle(paths: readonly string[] | 'everything' | undefined): void {
    this.#busy = typeof paths === 'object' ? new Set(paths.map((path) => path.toLowerCase())) : paths;
  }

  /** Does what the next sends to an entity, or settlements there, ask for, and cuts the connection in place of each answer. */
  loseAnswers(path: string, count: number, of: Answered): void {
    this.#lostAnswers.set(keyOf(path, of), count);
  }

  /** Throws what a send meets. */
  checkSend(path: string): void {
    this.checkRequest(path);
    const refusal = this.#refusals.get(path.toLowerCase());
    if (refusal !== undefined) {
      throw refusal;
    }
  }

  /** Throws what a request meets. */
  checkRequest(path: string): void {
    if (this.#busy === 'everything' || this.#busy?.has(path.toLowerCase()) === true) {
      throw serverBusy();
    }
  }

  /** Whether the answer to what was done gets lost. */
  losesAnswer(path: string, of: Answered): boolean {
    const key = keyOf(path, of);
    const left = this.#lostAnswers.get(key) ?? 0;
    this.#lostAnswers.set(key, Math.max(0, left - 1));
    return left > 0;
  }
}

function keyOf(path: string, of: Answered): string {
  return `${of} ${path.toLowerCase()}`;
}
