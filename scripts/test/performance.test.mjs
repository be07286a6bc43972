import { describe, expect, it } from 'vitest';

import { chart } from '../performance/chart.mjs';
import { page, ranked } from '../performance/page.mjs';

const result = (side, median, more = {}) => ({
  side,
  rounds: [median - 1, median, median + 2],
  median,
  cpuUs: 20,
  rssMiB: 80,
  ...more,
});
const results = [
  result('raw', 900),
  result('waybill', 1_000),
  result('careless <fast>', 5_000, { unequal: 'confirms | nothing' }),
];
const run = {
  broker: 'rabbitmq',
  version: '4.3.6',
  date: '2026-11-30',
  command: 'pnpm bench rabbitmq',
  machine: { cores: 2, memoryGiB: 24, os: 'Linux 6.1', node: '20.20.2' },
  rounds: 3,
  messages: 10_000,
  sides: [
    { name: 'raw', kind: 'raw', packages: { amqplib: '2.3.1' } },
    { name: 'waybill', kind: 'waybill', packages: { '@waybill/core': '0.0.0', amqplib: '2.3.1' } },
    { name: 'careless <fast>', kind: 'peer', packages: { careless: '1.0.0' } },
  ],
  measures: [
    { id: 'publish', title: 'Publish', unit: 'msg/s', bytes: 1_024, better: 'more', results, absent: [] },
    {
      id: 'latency',
      title: 'Latency',
      unit: 'ms',
      bytes: 1_024,
      better: 'less',
      results: [result('waybill', 5, { p99: 9 }), result('raw', 3, { p99: 8 })],
      absent: [{ side: 'careless <fast>', why: 'it has no consumer' }],
    },
  ],
  floors: [{ text: 'publish at least 2 of raw', measured: 1.1111, floor: 2, holds: false }],
};

describe('the page of a run', () => {
  it('ranks by what is better, and puts who is not equal apart', () => {
    expect(ranked({ better: 'more', results }).equal.map(({ side }) => side)).toEqual(['waybill', 'raw']);
    expect(ranked({ better: 'less', results }).equal.map(({ side }) => side)).toEqual(['raw', 'waybill']);
    expect(ranked({ better: 'more', results }).apart.map(({ side }) => side)).toEqual(['careless <fast>']);
  });

  it('says what was run, each number with its range and its ratio to Waybill, and who is left out and why', () => {
    const text = page([run]).replaceAll(/ +\|/g, ' |');
    expect(text).toContain('2 cores, 24 GiB, Linux 6.1, Node 20.20.2');
    expect(text).toContain('With amqplib 2.3.1, careless 1.0.0.');
    expect(text).toContain('| raw | 900 (899–902) | 0.9 | 20 µs | 80 MiB | |');
    expect(text).toContain('| not ranked: confirms \\| nothing |');
    expect(text).toContain('p50 3, p99 8 (2–5)');
    expect(text).toContain('`careless <fast>` is left out: it has no consumer.');
    expect(text).toContain('| publish at least 2 of raw | 1.11 | **missed** |');
  });

  it('compares round by round, so that what slows both sides of a round is in neither ratio', () => {
    const sides = [
      { ...result('waybill', 100), rounds: [100, 50, 200] },
      { ...result('raw', 45), rounds: [90, 45, 20] },
    ];
    const text = page([{ ...run, measures: [{ ...run.measures[0], results: sides }] }]).replaceAll(/ +\|/g, ' |');
    expect(text).toContain('| raw | 45 (20–90) | 0.9 | 20 µs | 80 MiB | |');
  });
});

describe('the chart of a run', () => {
  it('has a bar for each side of the chosen measures, the longest for the most, and no markup of names', () => {
    const svg = chart(run, ['publish'], ranked);
    const bars = [...svg.matchAll(/<rect class="(\w+)" .*?width="(\d+)"/g)].map(([, kind, width]) => [
      kind,
      Number(width),
    ]);
    expect(bars.map(([kind]) => kind)).toEqual(['waybill', 'raw', 'apart']);
    expect(bars[2][1]).toBeGreaterThan(bars[0][1]);
    expect(svg).toContain('careless &lt;fast&gt; (not ranked)');
  });
});
