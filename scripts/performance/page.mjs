// docs/performance.md and its charts, from what `pnpm bench BROKER --json docs/performance/BROKER.json` wrote.
import { table } from '../conformance/record.mjs';

const TITLES = { rabbitmq: 'RabbitMQ', kafka: 'Kafka', sqs: 'SQS', 'service-bus': 'Azure Service Bus' };
/** In this order, where they were run. */
export const BROKERS = Object.keys(TITLES);

const INTRODUCTION = `Waybill beside each broker's client used by hand, and beside the libraries that a TypeScript team would pick. This page is made from
the numbers of one run a broker, which lie beside it as JSON. How to run it yourself, what is measured and how guarantees are made equal
is in [benchmarks](../benchmarks/README.md).

**Read the ratios, not the rates.** Broker and clients share one machine, and rates drift from run to run. All sides of a table ran in turns,
each round in a process of its own; numbers are medians over the rounds, with the lowest and the highest behind them. A ratio is the
median of what each round gives, so that a slow minute of the machine is in both of its sides. CPU is the client's, for one message. A side
that does not give the same guarantees is shown with the reason and not ranked.`;

export function page(runs) {
  return `${['# Performance', INTRODUCTION, ...runs.flatMap(sectionOf)].join('\n\n')}\n`;
}

function sectionOf(run) {
  const { broker, version, date, command, machine, rounds, messages, sides, measures, floors } = run;
  const { cores, memoryGiB, os, node } = machine;
  const title = TITLES[broker];
  const packages = sides.flatMap((side) => Object.entries(side.packages));
  const versions = [...new Map(packages)]
    .filter(([name]) => !name.startsWith('@waybill/'))
    .map(([name, number]) => `${name} ${number}`);
  return [
    `## ${title}`,
    `\`${command}\`, ${date}: ${title} ${version}, ${rounds} rounds of ${messages.toLocaleString('en-US')} messages, ${cores} cores, ${memoryGiB} GiB, ${os}, Node ${node}.`,
    `With ${versions.join(', ')}.`,
    `![${title}: publish and consume](performance/${broker}.svg)`,
    ...measures.flatMap((measure) => measureSection(measure, sides)),
    '### Floors',
    table([
      ['floor', 'measured', ''],
      ...floors.map(({ text, measured, holds }) => [text, String(rounded(measured)), holds ? 'holds' : '**missed**']),
    ]),
  ].map((part) => part.replaceAll(/^### /gm, `### ${title}: `));
}

function measureSection({ title, unit, bytes, better, results, absent }, sides) {
  const { equal, apart } = ranked({ better, results });
  const waybill = results.find(({ side }) => side === 'waybill');
  const row = (result) => [
    result.side === 'waybill' ? '**waybill**' : result.side,
    valueOf(result),
    waybill === undefined || apart.includes(result) ? '' : String(rounded(ratio(result, waybill))),
    `${number(result.cpuUs)} µs`,
    `${number(result.rssMiB)} MiB`,
    noteOf(result, sides),
  ];
  const head = ['', `${unit}, ${better} is better`, 'of Waybill', 'CPU', 'memory', ''];
  const missing = absent.map(({ side, why }) => `\`${side}\` is left out: ${why}.`);
  return [
    `### ${title.endsWith(size(bytes)) ? title : `${title}, ${size(bytes)}`}`,
    table([head, ...[...equal, ...apart].map(row)]),
    ...(missing.length === 0 ? [] : [missing.join(' ')]),
  ];
}

/** The fastest first; who is not equal apart. */
export function ranked({ better, results }) {
  const sorted = results.toSorted((left, right) =>
    better === 'more' ? right.median - left.median : left.median - right.median,
  );
  return {
    equal: sorted.filter(({ unequal }) => unequal === undefined),
    apart: sorted.filter(({ unequal }) => unequal !== undefined),
  };
}

/** As the floors have it: the median of what each round gives. */
function ratio(result, than) {
  const ratios = result.rounds
    .map((value, round) => value / than.rounds[round])
    .toSorted((left, right) => left - right);
  const middle = ratios.length / 2;
  return (ratios[Math.floor(middle)] + ratios[Math.ceil(middle) - 1]) / 2;
}

function valueOf({ median, p99, rounds }) {
  const [low, high] = [Math.min(...rounds), Math.max(...rounds)];
  const middle = p99 === undefined ? number(median) : `p50 ${number(median)}, p99 ${number(p99)}`;
  return `${middle} (${number(low)}–${number(high)})`;
}

function noteOf({ unequal, note }) {
  return [unequal === undefined ? undefined : `not ranked: ${unequal}`, note]
    .filter((text) => text !== undefined)
    .join('; ')
    .replaceAll('|', '\\|');
}

const number = (value) => value.toLocaleString('en-US', { maximumFractionDigits: 2 });
const rounded = (value) => Number(value.toPrecision(value < 10 ? 3 : 4));

function size(bytes) {
  return bytes < 1_024 ? `${bytes} B` : `${bytes / 1_024} KiB`;
}
