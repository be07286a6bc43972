import type { Harness } from './harness.ts';
import { runScenario, selectScenarios } from './run.ts';

export interface RegisterOptions {
  readonly harness: Harness;
  /** The runner's own: `test` of vitest, or a function around `test` of node:test. */
  readonly test: (name: string, run: () => Promise<void>, timeoutMs: number) => unknown;
  /** Ids. @default all */
  readonly only?: readonly string[];
  /** Only the quick set. @default false */
  readonly quick?: boolean;
  /** Told what does not apply to this broker, and why. */
  readonly onNotApplicable?: (id: string, why: string) => void;
}

/** Registers every scenario as a test of its own with any runner. */
export function registerConformance({ harness, test, only, quick, onNotApplicable }: RegisterOptions): void {
  for (const scenario of selectScenarios(only, quick)) {
    const run = async (): Promise<void> => {
      const { outcome, note } = await runScenario(harness, scenario);
      if (outcome === 'failed') throw new Error(note);
      if (outcome === 'not applicable') onNotApplicable?.(scenario.id, note ?? '');
    };
    test(`${scenario.id}: ${scenario.sentence}`, run, scenario.deadlineMs + 10_000);
  }
}
