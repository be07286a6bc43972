import { runInChild } from './child.ts';
import { encode, type Sample } from './envelope.ts';
import { CONCURRENCY, MEASURES, type MeasureId, WARM_UP } from './measures.ts';
import { FIRST_SEQUENCE, orderMaker } from './order.ts';
import { type MeasureReport, resultOf, sideResult } from './report.ts';
import { prefill, type Result } from './run-measure.ts';
import type { Broker, Grounds, RunningBroker, Side } from './side.ts';

export interface Choice {
  readonly measures: readonly MeasureId[];
  readonly sides: readonly Side[];
  readonly rounds: number;
  readonly messages: number;
  /** For Node, in the processes that are measured. */
  readonly flags: readonly string[];
}

interface Run extends Choice {
  readonly broker: Broker;
  readonly running: RunningBroker;
  readonly grounds: Grounds;
  readonly sample: Sample;
  readonly tell: (line: string) => void;
}

const RETRY_DELAY_MS = 200;
/** Between two rounds: the broker still writes and forgets. */
const REST_MS = 100;
/** Without numbers of publish and consume in the same run. */
const RATE = 500;
const LATENCY_SECONDS = 2;

/** Every measure on every side, in interleaved rounds whose order rotates. */
export async function compare(run: Run): Promise<readonly MeasureReport[]> {
  const reports: MeasureReport[] = [];
  for (const measure of run.measures) {
    reports.push(await compareMeasure(run, measure, measure === 'latency' ? halfLoad(run, reports) : RATE));
  }
  return reports;
}

async function compareMeasure(run: Run, measure: MeasureId, rate: number): Promise<MeasureReport> {
  const absent = run.sides.flatMap(({ name, absent: why }) =>
    why?.[measure] === undefined ? [] : [{ side: name, why: why[measure] }],
  );
  const taking = run.sides.filter(({ absent: why }) => why?.[measure] === undefined);
  const results = new Map(taking.map((side) => [side, [] as Result[]]));
  const { title, unit, bytes, better } = MEASURES[measure];
  run.tell(`${title}${measure === 'latency' ? `, ${rate} messages a second` : ''}`);
  for (let round = 0; round < run.rounds; round += 1) {
    for (const side of rotated([...results.keys()], round)) {
      try {
        const result = await runRound(run, { side, measure, round, rate });
        results.get(side)?.push(result);
        run.tell(`  ${round + 1}/${run.rounds}  ${side.name.padEnd(28)} ${told(result, unit)}`);
      } catch (error) {
        const why = (error as Error).message.split('\n')[0] ?? '';
        run.tell(`  ${round + 1}/${run.rounds}  ${side.name.padEnd(28)} failed: ${(error as Error).message}`);
        results.delete(side);
        absent.push({ side: side.name, why: `failed: ${why}` });
      }
    }
  }
  const lines = [...results].map(([side, rounds]) => sideResult(side, measure, rounds));
  return { id: measure, title, unit, bytes, better, results: lines, absent };
}

interface Round {
  readonly side: Side;
  readonly measure: MeasureId;
  readonly round: number;
  readonly rate: number;
}

async function runRound(
  { broker, running, grounds, ...run }: Run,
  { side, measure, round, rate }: Round,
): Promise<Result> {
  const { share, most, prefilled } = MEASURES[measure];
  const part = side.share?.[measure] ?? 1;
  const wanted = Math.min(Math.ceil(run.messages * share * part), most);
  const messages = measure === 'latency' ? Math.min(wanted, rate * LATENCY_SECONDS) : wanted;
  const warmUp = Math.min(Math.ceil((broker.warmUp ?? WARM_UP) * part), 3 * messages);
  const queue = `bench-${measure}-${side.name
    .replaceAll(/[^a-z\d]+/g, '-')
    .replaceAll(/^-|-$/g, '')
    .slice(0, 20)}-${round}`;
  await grounds.create(queue);
  try {
    if (prefilled) await grounds.fill(queue, run.sample, bodies(side, run.sample, prefill(measure, messages, warmUp)));
    await new Promise((resolve) => setTimeout(resolve, REST_MS));
    const { descriptor } = running;
    const setting = {
      descriptor,
      queue,
      sample: run.sample,
      concurrency: CONCURRENCY,
      retryDelayMs: RETRY_DELAY_MS,
      measure,
    };
    return await runInChild({ broker: broker.name, side: side.name, setting, messages, warmUp, rate }, run.flags);
  } finally {
    await grounds.remove(queue);
  }
}

function* bodies(side: Side, sample: Sample, count: number): Iterable<{ readonly id: string; readonly body: string }> {
  const make = orderMaker(1_024);
  for (let index = 0; index < count; index += 1) {
    const { id, body } = encode(sample, make(FIRST_SEQUENCE + index));
    yield { id, body: side.wrap?.(body) ?? body };
  }
}

/** Half of what the slowest of equals can publish and consume at the same time, so that none of them falls behind. */
function halfLoad({ sides }: Run, reports: readonly MeasureReport[]): number {
  const equal = sides.filter(
    ({ unequal, unequalIn, absent }) => (unequal ?? unequalIn?.latency ?? absent?.latency) === undefined,
  );
  const rates = equal.flatMap(({ name }) => {
    const publish = resultOf(reports, 'publish', name);
    const consume = resultOf(reports, 'consume', name);
    return publish === undefined || consume === undefined ? [] : [1 / (1 / publish.median + 1 / consume.median)];
  });
  return rates.length === 0 ? RATE : Math.floor(Math.min(...rates) / 2);
}

function rotated<T>(all: readonly T[], by: number): readonly T[] {
  const at = all.length === 0 ? 0 : by % all.length;
  return [...all.slice(at), ...all.slice(0, at)];
}

function told({ value, p99, cpuUs, rssMiB }: Result, unit: string): string {
  const digits = value < 100 ? 2 : 0;
  const tail = p99 === undefined ? '' : ` (p99 ${p99.toFixed(2)})`;
  return `${value.toFixed(digits).padStart(8)} ${unit}${tail}  ${cpuUs.toFixed(0)} µs CPU  ${rssMiB.toFixed(0)} MiB`;
}
