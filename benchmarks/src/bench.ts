// Compares Waybill with raw clients and other libraries on one broker: node dist/bench.js BROKER [options].
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { printProgress } from '@waybill/integration';
import { brokers } from './brokers.ts';
import { compare } from './compare.ts';
import { judge } from './judge.ts';
import { MEASURE_IDS } from './measures.ts';
import { describeSide, machine, type Report, tables } from './report.ts';
import type { Broker, Side } from './side.ts';

const MOST_MESSAGES = 1_000_000;
const MOST_ROUNDS = 50;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      messages: { type: 'string' },
      /** Sides by name; floors of others are not judged. */
      only: { type: 'string' },
      measures: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      /** Writes a CPU profile of each measured process into this folder. */
      profile: { type: 'string' },
    },
  });
  const broker = await load(positionals[0]);
  const sides = await sidesOf(broker, values.only);
  const measures = chosen(MEASURE_IDS, values.measures);
  const rounds = count(values.rounds ?? (values.quick ? '2' : '7'), MOST_ROUNDS);
  const messages = count(values.messages ?? String(values.quick ? 2_000 : (broker.messages ?? 10_000)), MOST_MESSAGES);
  const flags = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`];
  const report = await measure(broker, { measures, sides, rounds, messages, flags });
  for (const line of tables(report)) console.log(line);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
  if (report.floors.some(({ holds }) => !holds)) process.exitCode = 1;
}

type Choice = Omit<Parameters<typeof compare>[0], 'broker' | 'running' | 'grounds' | 'sample' | 'tell'>;

async function measure(broker: Broker, choice: Choice): Promise<Report> {
  const tell = printProgress();
  const running = await broker.start(tell);
  const stop = (): void => void running.stop().finally(() => process.exit(130));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    const grounds = await broker.grounds(running.descriptor);
    const sample = await grounds.sample();
    const measures = await compare({ ...choice, broker, running, grounds, sample, tell });
    await grounds.close();
    const { rounds, messages, sides } = choice;
    const run = {
      broker: broker.name,
      version: running.version,
      date: new Date().toISOString().slice(0, 10),
      command: command(),
      machine: machine(),
      rounds,
      messages,
      sides: sides.map(describeSide),
      measures,
    };
    return { ...run, floors: await judge(run) };
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    await running.stop();
  }
}

async function load(name = ''): Promise<Broker> {
  const loaded = await brokers[name]?.();
  if (loaded === undefined) throw new Error(`Say which broker: ${Object.keys(brokers).join(', ')}`);
  return loaded.broker;
}

async function sidesOf(broker: Broker, only: string | undefined): Promise<readonly Side[]> {
  const names = chosen(Object.keys(broker.sides), only);
  const modules = await Promise.all(names.map(async (name) => broker.sides[name]?.()));
  return modules.flatMap((each) => each?.side ?? []);
}

function chosen<T extends string>(all: readonly T[], list: string | undefined): readonly T[] {
  const names = list?.split(',').map((name) => name.trim());
  const unknown = names?.find((name) => !all.some((each) => each === name));
  if (unknown !== undefined) throw new Error(`There is no "${unknown}": ${all.join(', ')}`);
  return all.filter((each) => names?.includes(each) ?? true);
}

function count(text: string, most: number): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1 || number > most)
    throw new Error(`"${text}" is not between 1 and ${most}`);
  return number;
}

/** As a reader would repeat it. Folders are this machine's own. */
function command(): string {
  const words = process.argv.slice(2);
  for (const [option, stand] of [
    ['--json', 'FILE'],
    ['--profile', 'FOLDER'],
  ] as const) {
    const at = words.indexOf(option);
    if (at !== -1) words.splice(at + 1, 1, stand);
  }
  return `pnpm bench ${words.join(' ')}`;
}

await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
