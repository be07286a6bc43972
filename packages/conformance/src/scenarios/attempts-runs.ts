import { type Bus, type HandlerContext, type Middleware, Reject, RetryLater, WaybillError } from '@waybill/core';
import { desk, Follow, Noted, outbox, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import { abortedAt, isWarmUp, warmUpWith } from './lease-handlers.ts';
import { noteId } from './retry-helpers.ts';

/** One attempt as its handler saw it. */
export interface Run {
  readonly id: string;
  readonly attempt: number;
  readonly redelivered: boolean;
}

/** Between the attempts of desk's messages. */
const DELAYS_MS = [100, 200, 100, 150] as const;
/** Where the broker keeps the lease of a handler that was to lose it, the handler waits no longer. */
const KEPT_MS = 6_000;
/** A handler has this long. */
const TIMEOUT_MS = 400;

/** The attempts of a message in the order they began. A broker may hand out one more than once. */
export function attemptsOf(runs: readonly Run[], id: string): readonly number[] {
  const attempts = runs.filter((run) => run.id === id).map(({ attempt }) => attempt);
  return attempts.filter((attempt, index) => attempt !== attempts[index - 1]);
}

export function runOf(context: HandlerContext): Run {
  return { id: context.metadata.id, attempt: context.attempt, redelivered: context.redelivered };
}

/** How desk's messages fail, by number. What is not named is handled. */
const WAYS: Readonly<Record<number, (context: HandlerContext) => Promise<void> | void>> = {
  1: (context) => failAt(context, [1]),
  2: (context) => failAt(context, [1, 2]),
  3: (context) => failAt(context, [1, 2, 3]),
  4: (context) => failAt(context, [1, 2, 3, 4]),
  5: () => {
    throw new Error('told to fail each time');
  },
  6: () => {
    throw new RetryLater(50);
  },
  7: async ({ signal, attempt }) => {
    if (attempt <= 2) await abortedAt(signal, 20_000);
    signal.throwIfAborted();
  },
  8: (context) => context.send(outbox, Follow, { n: 8 }),
  9: ({ attempt }) => {
    throw attempt === 1 ? new Error('told to fail') : new Reject('told to reject');
  },
};

/** The attempts that each of them has, and of those that are dead letters. */
export const PLANNED = {
  handled: { 0: [1], 1: [1, 2], 2: [1, 2, 3], 3: [1, 2, 3, 4], 4: [1, 2, 3, 4, 5], 7: [1, 2, 3], 8: [1, 2, 3] },
  dead: { 5: [1, 2, 3, 4, 5], 6: [1, 2, 3, 4, 5], 9: [1, 2] },
} as const;

/** Desk's consumer whose messages fail as planned; those that came back from the dead lane fail twice. */
export class PlannedDesk {
  readonly runs: Run[] = [];
  readonly handled = new Set<string>();
  readonly #again = new Set<string>();

  /** Of what handlers send, the first two are refused for good. */
  static refusing(): Middleware {
    let left = 2;
    return {
      name: 'refuse',
      async dispatch(batch, next) {
        const refused = batch.filter(({ type }) => type === Follow.type && left > 0);
        left -= refused.length;
        if (refused.length < batch.length) await next(batch.filter((message) => !refused.includes(message)));
        if (refused.length > 0) throw new WaybillError('NOT_FOUND', 'There is no such queue.');
      },
    };
  }

  async consume(bus: Bus): Promise<void> {
    await bus.consume(
      desk,
      {
        [Work.type]: () => undefined,
        [Noted.type]: async ({ n }, context) => {
          const run = runOf(context);
          this.runs.push(run);
          if (this.#again.has(run.id)) failAt(context, [1, 2]);
          else await WAYS[n]?.(context);
          // What its handler sends may be refused yet.
          if (n !== 8 || context.attempt === 3) this.handled.add(run.id);
        },
      },
      { retry: { delaysMs: DELAYS_MS }, timeoutMs: TIMEOUT_MS },
    );
  }

  /** From now on these come from the dead lane. */
  redriven(ids: readonly string[]): void {
    for (const id of ids) this.#again.add(id);
  }
}

function failAt({ attempt }: HandlerContext, attempts: readonly number[]): void {
  if (attempts.includes(attempt)) throw new Error(`told to fail at attempt ${attempt}`);
}

/** How many messages stand in a handler: one at each of the attempts from 1. */
const STANDING = 3;

/**
 * Messages whose handlers stand, the first in its attempt 1, the second in 2, the third in 3, until something ends them
 * that is no failure. Afterwards each fails once more and is handled.
 */
export class Standing {
  readonly runs: Run[] = [];
  readonly handled = new Set<string>();
  readonly #stood = new Set<string>();
  readonly #failed = new Set<string>();
  readonly ids: readonly string[] = Array.from({ length: STANDING }, (_, n) => noteId(n));
  #warm = 0;

  get standing(): number {
    return this.#stood.size;
  }

  readonly #handle = async ({ n }: { readonly n: number }, context: HandlerContext): Promise<void> => {
    if (isWarmUp(n)) {
      this.#warm += 1;
      return;
    }
    const run = runOf(context);
    this.runs.push(run);
    if (run.attempt <= n) throw new Error(`told to fail at attempt ${run.attempt}`);
    if (!this.#stood.has(run.id)) {
      this.#stood.add(run.id);
      const aborted = (await abortedAt(context.signal, KEPT_MS)) !== undefined;
      // Nothing ended it: this one is its failure.
      if (!aborted) this.#failed.add(run.id);
      throw new Error('told to fail when it stands no longer');
    }
    if (!this.#failed.has(run.id)) {
      this.#failed.add(run.id);
      throw new Error('told to fail once more');
    }
    this.handled.add(run.id);
  };

  async consume(bus: Bus): ReturnType<Bus['consume']> {
    return bus.consume(
      desk,
      { [Noted.type]: this.#handle, [Work.type]: this.#handle },
      { retry: { delaysMs: [100, 100, 100, 100] } },
    );
  }

  /** Resolves once all stand in their handlers. */
  async stand(kit: Kit, bus: Bus): Promise<void> {
    await warmUpWith(kit, bus, () => this.#warm);
    await Promise.all(this.ids.map((id, n) => bus.publish(Noted, { n }, { id })));
    await kit.eventually('a handler stands at each of the attempts', () => this.standing === STANDING);
  }

  /** What ended the handlers was not counted, and what failed afterwards was. */
  async checkUncounted(kit: Kit, withinMs: number): Promise<void> {
    // One attempt more is dead before it is handled.
    const ended = (): boolean => this.ids.every((id) => this.handled.has(id) || lastOf(this.runs, id) > STANDING + 1);
    await kit.eventually('all are handled', ended, withinMs);
    for (const [n, id] of this.ids.entries()) {
      const planned = Array.from({ length: n + 2 }, (_, index) => index + 1);
      kit.same(attemptsOf(this.runs, id), planned, `the attempts of ${id}`, [id]);
    }
  }
}

function lastOf(runs: readonly Run[], id: string): number {
  return runs.findLast((run) => run.id === id)?.attempt ?? 0;
}
