/** What is checked; each of these is a line of the report. */
export const CHECKS = {
  lost: 'every message that was confirmed or started is handled or a dead letter',
  order:
    'no message of a key starts in the ordered consumer before the confirmed one in front of it is handled or a dead letter',
  reasons: 'dead letters are exactly the poison, with the right reason and attempts',
  attempts: 'attempts start at 1, and each higher one follows a failure of the one before',
  duplicates: 'no more is handled or fails again than the processes that were hit can have held',
  unexplained: 'nothing is handled or fails again without a fault since it was published',
  settled: 'no process settles what the broker did not hand out to it',
  refused: 'what was rejected as not stored, or never published, reaches no handler',
  published: 'each message is published once, in order of its key',
  processes: 'no process died but those that were killed',
  memory: 'the memory of each process is as flat after the first third of its life as at its end',
  empty: 'nothing is left in queues and delays',
  faults: 'every fault of the plan could be made, and ended',
} as const;
export type Check = keyof typeof CHECKS;

export interface Problem {
  readonly check: Check;
  readonly what: string;
  /** The message it is about. */
  readonly index?: number;
}

const KEPT = 10;

/** Problems by check: all are counted, the first of each are kept. */
export class Problems {
  readonly #counts = new Map<Check, number>();
  readonly kept: Problem[] = [];

  add(problem: Problem): void {
    const count = this.count(problem.check);
    this.#counts.set(problem.check, count + 1);
    if (count < KEPT) this.kept.push(problem);
  }

  count(check: Check): number {
    return this.#counts.get(check) ?? 0;
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }
}
