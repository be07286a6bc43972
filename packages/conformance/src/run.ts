import { inspect } from 'node:util';
import type { FaultName, Harness } from './harness.ts';
import { Kit, Unmet } from './kit.ts';
import { missingFault, type Scenario, undeclaredNeed } from './scenario.ts';
import { SCENARIOS } from './scenarios/all.ts';
import { proveRefusal } from './undeclared.ts';

export type Outcome = 'passed' | 'failed' | 'refused' | 'not applicable';

export interface Result {
  readonly id: string;
  readonly guarantee: string;
  readonly sentence: string;
  /** `refused`: the driver does not declare what it needs, and it was proven that this is refused. */
  readonly outcome: Outcome;
  readonly durationMs: number;
  /** Why it is not applicable, or what was expected and what happened. */
  readonly note?: string;
}

export interface RunOptions {
  readonly harness: Harness;
  /** Ids. @default all */
  readonly only?: readonly string[];
  /** Only the quick set. @default false */
  readonly quick?: boolean;
  readonly onStart?: (scenario: Scenario) => void;
  readonly onResult?: (result: Result) => void;
}

const PARALLEL = 4;

/** The scenarios that a run has, in their order. Throws for an unknown id. */
export function selectScenarios(only: readonly string[] | undefined, quick = false): readonly Scenario[] {
  const unknown = only?.filter((id) => !SCENARIOS.some((scenario) => scenario.id === id)) ?? [];
  if (unknown.length > 0) throw new Error(`There is no scenario ${unknown.map((id) => `"${id}"`).join(', ')}.`);
  return SCENARIOS.filter((scenario) => (only?.includes(scenario.id) ?? true) && (!quick || scenario.quick === true));
}

/** Runs scenarios: beside each other where they do not disturb, the others alone. Never rejects for a failed one. */
export async function runScenarios(options: RunOptions): Promise<readonly Result[]> {
  const { harness, only, quick } = options;
  const scenarios = selectScenarios(only, quick);
  const results = new Map<string, Result>();
  const run = async (scenario: Scenario): Promise<void> => {
    options.onStart?.(scenario);
    const result = await runScenario(harness, scenario);
    results.set(scenario.id, result);
    options.onResult?.(result);
  };
  const isAlone = ({ alone }: Scenario): boolean => alone === true && harness.isolated !== true;
  // The longest first: none of them shall be what the others have to be waited for.
  const waiting = scenarios.filter((each) => !isAlone(each)).toSorted((a, b) => b.deadlineMs - a.deadlineMs);
  const next = async (): Promise<void> => {
    for (let scenario = waiting.shift(); scenario !== undefined; scenario = waiting.shift()) await run(scenario);
  };
  await Promise.all(Array.from({ length: harness.parallel ?? PARALLEL }, next));
  for (const scenario of scenarios.filter(isAlone)) await run(scenario);
  return scenarios.flatMap(({ id }) => results.get(id) ?? []);
}

/** Runs one scenario, on a session of its own. */
export async function runScenario(harness: Harness, scenario: Scenario): Promise<Result> {
  const startedAt = Date.now();
  const { id, guarantee, sentence } = scenario;
  const result = (outcome: Outcome, note?: string): Result => ({
    id,
    guarantee,
    sentence,
    outcome,
    durationMs: Date.now() - startedAt,
    ...(note === undefined ? {} : { note }),
  });
  const exception = harness.except?.[id];
  if (exception !== undefined) return result('not applicable', exception);
  const missing = missingFault(scenario, harness.faults);
  if (missing !== undefined) return result('not applicable', reasonOf(harness, missing));
  try {
    const kit = new Kit(harness, await harness.open());
    const [outcome, note] = await outcomeOf(scenario, kit);
    const left = await kit.close().then(
      () => undefined,
      (error: unknown) => `What it made could not be removed: ${String(error)}`,
    );
    const notes = [note, left].filter((each) => each !== undefined);
    return result(outcome, notes.length === 0 ? undefined : notes.join('\n'));
  } catch (error) {
    return result('failed', `${id}: the harness opens no session: ${inspect(error)}`);
  }
}

/** Runs it, or proves that what it needs is refused. */
async function outcomeOf(scenario: Scenario, kit: Kit): Promise<readonly [outcome: Outcome, note?: string]> {
  const { deadlineMs } = scenario;
  try {
    const undeclared = undeclaredNeed(scenario, kit.session.createDriver());
    await withinDeadline(deadlineMs, undeclared === undefined ? scenario.run(kit) : proveRefusal(kit, undeclared));
    if (undeclared === undefined) return ['passed'];
    return ['refused', `the driver does not declare "${undeclared}", and what needs it is refused`];
  } catch (error) {
    return ['failed', describeFailure(scenario, kit, error)];
  }
}

async function withinDeadline(deadlineMs: number, running: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it did not end within ${deadlineMs} ms`)), deadlineMs);
  });
  try {
    await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
}

function reasonOf(harness: Harness, fault: FaultName): string {
  return harness.without?.[fault] ?? `${harness.name} has no fault "${fault}"`;
}

function describeFailure(scenario: Scenario, kit: Kit, error: unknown): string {
  const ids = error instanceof Unmet ? error.ids : [];
  const cause =
    error instanceof Error && error.cause !== undefined ? `\nlast seen: ${inspect(error.cause, { depth: 1 })}` : '';
  return [
    `${scenario.id}: ${scenario.sentence}`,
    `expected: ${error instanceof Error ? error.message : String(error)}${cause}`,
    `history of ${ids.length === 0 ? 'the last messages' : ids.join(', ')}:`,
    kit.history.describe(ids) || '  nothing happened',
    `alone: --only ${scenario.id}`,
  ].join('\n');
}
