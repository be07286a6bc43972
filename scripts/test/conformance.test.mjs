import { describe, expect, it } from 'vitest';

import { problemsOfCapabilities, problemsOfReports } from '../checks/conformance.mjs';
import { choose } from '../conformance/choice.mjs';
import { merged, page } from '../conformance/record.mjs';
import { countRuns, withSecondTry } from '../conformance/run.mjs';
import { quickSubjects, SUBJECTS } from '../conformance/subjects.mjs';

const subjects = [
  { name: 'memory', driver: 'memory', sources: ['packages/memory/'], real: false },
  { name: 'rabbitmq', driver: 'rabbitmq', sources: ['packages/rabbitmq/'], real: true },
  { name: 'kafka', driver: 'kafka', sources: ['packages/kafka/'], real: true },
];
const scenarios = [
  { id: 'one', guarantee: 'stored', sentence: 'it is stored' },
  { id: 'two', guarantee: 'stored', sentence: 'it stays stored' },
];

function report(driver, outcomes) {
  const results = Object.entries(outcomes).map(([scenario, outcome]) => ({ scenario, outcome, durationMs: 1_500 }));
  return { driver, version: '4.3.6', date: '2026-11-24', results };
}

describe('the broker for the full set', () => {
  it.each([
    [['packages/kafka/src/index.ts'], 0, 'kafka', 'this change touches it'],
    [['packages/core/src/bus.ts'], 0, 'rabbitmq', 'it is its turn'],
    [['packages/core/src/bus.ts'], 1, 'kafka', 'it is its turn'],
    [['packages/kafka/a.ts', 'packages/rabbitmq/a.ts'], 3, 'kafka', 'this change touches it'],
    [['packages/memory/src/index.ts'], 2, 'rabbitmq', 'it is its turn'],
    [[], 5, 'kafka', 'it is its turn'],
  ])('after a change of %j on turn %i is %s', (changed, turn, name, why) => {
    expect(choose(subjects, changed, turn)).toMatchObject({ subject: { name }, why });
  });
});

describe('the quick set of all', () => {
  const all = [
    { name: 'memory' },
    { name: 'rabbitmq', setting: 'WAYBILL_RABBITMQ_URL' },
    { name: 'kafka', setting: 'WAYBILL_KAFKA_BROKERS' },
    { name: 'kafka-three', setting: 'WAYBILL_KAFKA_BROKERS', onlyFull: true },
    { name: 'service-bus', setting: 'WAYBILL_SERVICE_BUS_CONNECTION_STRING' },
  ];

  it.each([
    [{}, ['memory', 'rabbitmq', 'kafka', 'service-bus']],
    [{ WAYBILL_KAFKA_BROKERS: '' }, ['memory', 'rabbitmq', 'kafka', 'service-bus']],
    [{ WAYBILL_KAFKA_BROKERS: 'localhost:9092' }, ['memory', 'kafka']],
    [{ WAYBILL_RABBITMQ_URL: 'amqp://localhost' }, ['memory', 'rabbitmq']],
    [{ WAYBILL_SERVICE_BUS_CONNECTION_STRING: 'Endpoint=sb://localhost' }, ['memory', 'service-bus']],
  ])('with %j runs on %j', (environment, names) => {
    expect(quickSubjects(all, environment).map(({ name }) => name)).toEqual(names);
  });

  it('leaves out no driver, and only what the full set has', () => {
    const quick = quickSubjects(SUBJECTS, {});
    const left = SUBJECTS.filter((subject) => !quick.includes(subject));
    expect(new Set(quick.map(({ driver }) => driver))).toEqual(new Set(SUBJECTS.map(({ driver }) => driver)));
    expect(left.map(({ name, isVariant }) => [name, isVariant])).toEqual([
      ['rabbitmq-three', undefined],
      ['kafka-three', undefined],
    ]);
  });
});

describe('recorded runs', () => {
  const good = ['memory', 'rabbitmq', 'kafka'].map((driver) => report(driver, { one: 'passed', two: 'refused' }));

  it('are in order when every driver has a full and good one', () => {
    expect(problemsOfReports(good, scenarios, subjects)).toEqual([]);
  });

  it('lack a driver, lack a scenario, have one that is gone, show a failure', () => {
    const reports = [
      report('memory', { one: 'passed', two: 'failed' }),
      report('rabbitmq', { one: 'passed', old: 'passed' }),
    ];
    expect(problemsOfReports(reports, scenarios, subjects)).toEqual([
      'docs/conformance.json has no run of kafka: pnpm conformance --full kafka --record',
      'docs/conformance.json, memory 4.3.6: two failed',
      'docs/conformance.json, rabbitmq 4.3.6: two was not run',
      'docs/conformance.json, rabbitmq 4.3.6: there is no scenario old',
    ]);
  });
});

describe('a run of some scenarios', () => {
  it('renews these on record, for the same line of versions, and leaves the others', () => {
    const recorded = [report('rabbitmq', { one: 'failed', two: 'passed' }), report('memory', { one: 'passed' })];
    const fresh = [{ ...report('rabbitmq', { one: 'passed', three: 'passed' }), version: '4.3.7', date: '2026-11-25' }];
    const [rabbitmq, memory] = merged(recorded, fresh);
    expect(rabbitmq).toMatchObject({ version: '4.3.7', date: '2026-11-25' });
    expect(rabbitmq.results.map(({ scenario, outcome }) => [scenario, outcome])).toEqual([
      ['one', 'passed'],
      ['two', 'passed'],
      ['three', 'passed'],
    ]);
    expect(memory).toEqual(recorded[1]);
  });

  it('of another line of versions stands beside', () => {
    const fresh = { ...report('rabbitmq', { one: 'passed' }), version: '4.0.5' };
    expect(merged([report('rabbitmq', { one: 'passed' })], [fresh])).toHaveLength(2);
  });

  it('of another number of nodes stands beside, and renews its own line', () => {
    const three = { ...report('kafka', { one: 'failed' }), version: '4.3.6, 3 nodes' };
    const renewed = { ...report('kafka', { one: 'passed' }), version: '4.3.7, 3 nodes' };
    const recorded = merged([report('kafka', { one: 'passed' })], [three]);
    expect(recorded.map(({ version }) => version)).toEqual(['4.3.6', '4.3.6, 3 nodes']);
    expect(merged(recorded, [renewed]).map(({ version }) => version)).toEqual(['4.3.6', '4.3.7, 3 nodes']);
  });
});

describe('capabilities', () => {
  it('agree', () => {
    expect(problemsOfCapabilities({ memory: { reject: 'none' } }, { memory: { reject: 'none' } })).toEqual([]);
  });

  it('differ, are missing, or are more than expected', () => {
    const declared = { memory: { reject: 'none', maxDelayMs: 5 }, kafka: { reject: 'none' } };
    const expected = { memory: { reject: 'bare' }, rabbitmq: { reject: 'bare' } };
    expect(problemsOfCapabilities(declared, expected)).toEqual([
      'memory declares reject none, and docs/capabilities.json expects bare',
      'memory declares maxDelayMs 5, and docs/capabilities.json expects undefined',
      'kafka declares reject none, and docs/capabilities.json expects undefined',
      'rabbitmq declares reject undefined, and docs/capabilities.json expects bare',
    ]);
  });
});

it('the page shows every outcome, why one does not apply, and what is declared', () => {
  const reports = [
    report('kafka', { one: 'passed', two: 'refused' }),
    {
      ...report('memory', { one: 'failed' }),
      results: [
        { scenario: 'one', outcome: 'failed', durationMs: 1 },
        { scenario: 'two', outcome: 'not applicable', durationMs: 0, note: 'there is no network' },
      ],
    },
  ];
  const written = page({
    reports,
    scenarios,
    guarantees: { stored: 'what resolves is stored' },
    capabilities: { kafka: { reject: 'none' }, memory: { reject: 'bare' } },
  });
  expect(written).toMatch(/\| `one` +\| ✓ +\| FAILS +\| it is stored +\|/);
  expect(written).toMatch(/\| `two` +\| not declared +\| – +\| it stays stored +\|/);
  expect(written).toContain('- memory 4.3.6, there is no network: `two`');
  expect(written).toContain('What resolves is stored.');
  expect(written).toMatch(/\| `reject` +\| none +\| bare +\|/);
});

describe('counts of runs', () => {
  it('count what passed and what was proven to be refused', () => {
    const runs = [{ report: report('memory', { one: 'passed', two: 'refused' }), code: 0 }];
    expect(countRuns(runs)).toEqual({ passed: 2, failed: 0, skipped: 0 });
  });

  it('count a run that ended badly as a failure, whatever it wrote', () => {
    expect(countRuns([{ report: undefined, code: 2 }])).toEqual({ passed: 0, failed: 1, skipped: 0 });
    const one = { report: report('memory', { one: 'failed', two: 'failed' }), code: 1 };
    expect(countRuns([one])).toEqual({ passed: 0, failed: 2, skipped: 0 });
  });

  it('count the second try of what failed', () => {
    const first = { report: report('memory', { one: 'failed', two: 'passed' }), code: 1, output: '' };
    const fine = withSecondTry(first, { report: report('memory', { one: 'passed' }), code: 0, output: '' });
    expect(fine.triedAgain).toEqual(['one']);
    expect(countRuns([fine])).toEqual({ passed: 2, failed: 0, skipped: 0 });
    const bad = withSecondTry(first, { report: report('memory', { one: 'failed' }), code: 1, output: '' });
    expect(countRuns([bad])).toEqual({ passed: 1, failed: 1, skipped: 0 });
    const both = { report: report('memory', { one: 'failed', two: 'failed' }), code: 1, output: '' };
    const half = withSecondTry(both, { report: report('memory', { one: 'passed' }), code: 0, output: '' });
    expect([half.code, half.triedAgain]).toEqual([1, ['one', 'two']]);
    const whole = withSecondTry(half, { report: report('memory', { two: 'passed' }), code: 0, output: '' });
    expect([whole.code, whole.triedAgain]).toEqual([0, ['one', 'two']]);
    const gone = withSecondTry(first, { report: undefined, code: 2, output: '' });
    expect(countRuns([gone])).toEqual({ passed: 1, failed: 1, skipped: 0 });
  });
});
