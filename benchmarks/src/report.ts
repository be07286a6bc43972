import { readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import type { MeasureId } from './measures.ts';
import type { Floor, Side } from './side.ts';
import type { Result } from './run-measure.ts';

export interface SideResult {
  readonly side: string;
  /** One number a round, in the unit of the measure. */
  readonly rounds: readonly number[];
  readonly median: number;
  readonly p99?: number;
  readonly cpuUs: number;
  readonly rssMiB: number;
  /** HTTP requests for each message, of a broker that is asked so. */
  readonly requests?: number;
  readonly note?: string;
  /** Why it is not ranked in this measure. */
  readonly unequal?: string;
}

export interface MeasureReport {
  readonly id: MeasureId;
  readonly title: string;
  readonly unit: string;
  readonly bytes: number;
  readonly better: 'more' | 'less';
  readonly results: readonly SideResult[];
  readonly absent: readonly { readonly side: string; readonly why: string }[];
}

export interface Report {
  readonly broker: string;
  readonly version: string;
  readonly date: string;
  readonly command: string;
  readonly machine: { readonly cores: number; readonly memoryGiB: number; readonly os: string; readonly node: string };
  readonly rounds: number;
  readonly messages: number;
  readonly sides: readonly {
    readonly name: string;
    readonly kind: Side['kind'];
    readonly packages: Readonly<Record<string, string>>;
    readonly unequal?: string;
  }[];
  readonly measures: readonly MeasureReport[];
  readonly floors: readonly Floor[];
}

export function machine(): Report['machine'] {
  const [major, minor] = release().split('.');
  return {
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    os: `${type()} ${major}.${minor}`,
    node: process.versions.node,
  };
}

export function describeSide({ name, kind, packages, unequal }: Side): Report['sides'][number] {
  const versions = packages.map((each) => [each, versionOf(each)] as const);
  return { name, kind, packages: Object.fromEntries(versions), ...(unequal === undefined ? {} : { unequal }) };
}

function versionOf(name: string): string {
  const manifest = new URL(`../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** The rounds of a side in one measure, as one line of the report. */
export function sideResult(side: Side, measure: MeasureId, rounds: readonly Result[]): SideResult {
  const of = (pick: (result: Result) => number): number => rounded(median(rounds.map(pick)));
  const unequal = side.unequal ?? side.unequalIn?.[measure];
  const note = side.notes?.[measure];
  return {
    side: side.name,
    rounds: rounds.map(({ value }) => rounded(value)),
    median: of(({ value }) => value),
    ...(measure === 'latency' ? { p99: of(({ p99 = Number.NaN }) => p99) } : {}),
    cpuUs: of(({ cpuUs }) => cpuUs),
    rssMiB: of(({ rssMiB }) => rssMiB),
    ...(rounds[0]?.requests === undefined ? {} : { requests: of(({ requests = Number.NaN }) => requests) }),
    ...(note === undefined ? {} : { note }),
    ...(unequal === undefined ? {} : { unequal }),
  };
}

/** Three digits are more than a round is worth. */
function rounded(value: number): number {
  if (value >= 100) return Math.round(value);
  return Number(value.toPrecision(3));
}

/**
 * One side over another: the median of what each round gives. The sides of a round run one after the other, so that a slow
 * minute of the machine is in both.
 */
export function ratioOf({ rounds }: Pick<SideResult, 'rounds'>, than: Pick<SideResult, 'rounds'>): number {
  return Number(median(rounds.map((value, index) => value / (than.rounds[index] ?? Number.NaN))).toFixed(3));
}

/** A side in a measure; undefined where it was not measured. */
export function resultOf(measures: readonly MeasureReport[], id: MeasureId, name: string): SideResult | undefined {
  return measures.find((each) => each.id === id)?.results.find(({ side }) => side === name);
}

/** What a person reads at the end of a run: a table a measure, those that are not equal apart, and the floors. */
export function* tables({ measures, floors }: Pick<Report, 'measures' | 'floors'>): Iterable<string> {
  for (const { id, title, unit, bytes, better, results, absent } of measures) {
    yield '';
    yield `${title} [${id}] (${unit}, ${better} is better; ${bytes} B of JSON and the envelope)`;
    const sorted = results.toSorted((left, right) =>
      better === 'more' ? right.median - left.median : left.median - right.median,
    );
    for (const result of sorted.filter(({ unequal }) => unequal === undefined)) yield row(result, unit);
    for (const result of sorted.filter(({ unequal }) => unequal !== undefined)) {
      yield `${row(result, unit)}  not ranked: ${result.unequal}`;
    }
    for (const { side, why } of absent) yield `  ${side.padEnd(28)} left out: ${why}`;
  }
  yield '';
  for (const { text, measured, holds } of floors)
    yield `${holds ? 'ok    ' : 'MISSED'} ${measured.toFixed(2)}  ${text}`;
}

function row({ side, median: middle, p99, cpuUs, rssMiB, note, rounds }: SideResult, unit: string): string {
  const value = p99 === undefined ? `${middle}` : `${middle} (${p99})`;
  const numbers = `${value.padStart(12)} ${unit}  ${String(cpuUs).padStart(6)} µs CPU  ${String(rssMiB).padStart(4)} MiB`;
  return `  ${side.padEnd(28)}${numbers}  (${rounds.join(' ')})${note === undefined ? '' : `  ${note}`}`;
}
