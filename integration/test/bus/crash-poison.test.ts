import { describe, expect, onTestFinished } from 'vitest';

import { eventually, type Worker } from '../../src/index.ts';
import { containerTest, sharedOldRabbitmq, sharedRabbitmq } from '../shared.ts';
import { Noted, notes } from './contracts.ts';
import { lettersOf, missing, openBus } from './kit.ts';
import { expectEmpty, idsOf, start, type Step, steps } from './worker-kit.ts';

describe.each([
  ['current RabbitMQ', sharedRabbitmq],
  ['old RabbitMQ', sharedOldRabbitmq],
] as const)('%s', (_, shared) => {
  containerTest(
    'a message that kills every process is found, and costs no other message anything',
    { timeout: 90_000 },
    async () => {
      const broker = shared();
      const bus = openBus(broker.url, { uses: [notes] });
      await bus.provision();
      const ids = Array.from({ length: 300 }, (__, n) => `m${n}`);
      const poison = 'm137';
      await Promise.all(ids.map((id, n) => bus.publish(Noted, { n, text: id === poison ? 'kill' : 'slow' }, { id })));
      const fleet = new Fleet(() => start(broker, bus, { consume: { concurrency: 32 } }), 3);
      onTestFinished(() => fleet.end());
      const others = ids.filter((id) => id !== poison);
      await eventually(() => expect(missing(others, idsOf(fleet.steps('succeeded')))).toEqual([]), {
        withinMs: 60_000,
      });
      const [letter] = await eventually(
        async () => {
          const letters = await lettersOf(bus, notes);
          expect(letters).toHaveLength(1);
          return letters;
        },
        { withinMs: 60_000, everyMs: 500 },
      );
      expect(letter).toMatchObject({ id: poison, reason: 'crash-loop', attempts: 1 });
      await expectEmpty(bus, 1);
      expect(fleet.kills).toBeLessThanOrEqual(12);
      expect(fleet.kills).toBeGreaterThanOrEqual(3);
      // A crash counts no attempt for anybody.
      expect(fleet.steps('started').filter(({ attempt }) => attempt !== 1)).toEqual([]);
      await fleet.end();
    },
  );
});

/** Keeps so many workers running: one that was killed is started again. */
class Fleet {
  readonly #launch: () => Worker;
  readonly #workers: Worker[] = [];
  #ended = false;
  kills = 0;

  constructor(launch: () => Worker, size: number) {
    this.#launch = launch;
    for (let index = 0; index < size; index += 1) this.#run();
  }

  steps(step: Step['step']): readonly Step[] {
    return this.#workers.flatMap((worker) => steps(worker, step));
  }

  async end(): Promise<void> {
    this.#ended = true;
    await Promise.all(this.#workers.map((worker) => worker.kill()));
  }

  #run(): void {
    const worker = this.#launch();
    this.#workers.push(worker);
    void worker.exited.then(({ signal, code, text }) => {
      if (this.#ended) return;
      if (signal !== 'SIGKILL') throw new Error(`A worker ended with ${signal ?? code}: ${text}`);
      this.kills += 1;
      this.#run();
    });
  }
}
