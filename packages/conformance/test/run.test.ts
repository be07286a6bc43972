import { memory, MemoryBroker, type MemoryOptions } from '@waybill/memory';
import { describe, expect, it } from 'vitest';
import { desk, Noted } from '../src/contracts.ts';
import {
  GUARANTEES,
  type Harness,
  runScenario,
  runScenarios,
  type Scenario,
  SCENARIOS,
  selectScenarios,
} from '../src/index.ts';

function harness(capabilities: MemoryOptions['capabilities'] = {}, more: Partial<Harness> = {}): Harness {
  return {
    name: 'memory',
    version: () => Promise.resolve('test'),
    faults: [],
    isolated: true,
    open() {
      const broker = new MemoryBroker();
      return Promise.resolve({
        createDriver: () => memory({ broker, capabilities }),
        faults: {},
        close: () => Promise.resolve(),
      });
    },
    close: () => Promise.resolve(),
    ...more,
  };
}

function scenario(run: Scenario['run'], more: Partial<Scenario> = {}): Scenario {
  return { id: 'test', guarantee: 'stored', sentence: 'it holds', deadlineMs: 2_000, run, ...more };
}

describe('a scenario', () => {
  it('passes when nothing fails', async () => {
    expect(
      await runScenario(
        harness(),
        scenario(async () => undefined),
      ),
    ).toMatchObject({ id: 'test', outcome: 'passed' });
  });

  it('that fails says what was expected, what happened to the messages concerned, and how to run it alone', async () => {
    const failing = scenario(async (kit) => {
      const bus = kit.bus();
      await bus.consume(desk, { [Noted.type]: () => undefined, 'conformance.work': () => undefined });
      await bus.publish(Noted, { n: 1 }, { id: 'one' });
      await bus.publish(Noted, { n: 2 }, { id: 'two' });
      const settled = (): boolean => kit.history.entries.some(({ id, what }) => id === 'one' && what === 'accepted');
      await kit.eventually('it is accepted', settled);
      kit.same(1, 2, 'the count', ['one']);
    });
    const { outcome, note = '' } = await runScenario(harness(), failing);
    expect(outcome).toBe('failed');
    expect(note).toContain('test: it holds');
    expect(note).toContain('expected: the count: expected 2, got 1');
    for (const what of ['sent', 'stored', 'handed out', 'accepted'])
      expect(note).toMatch(new RegExp(`ms +bus 0 +${what} +one`));
    expect(note).not.toContain('two');
    expect(note).toContain('alone: --only test');
  });

  it('that does not end fails at its deadline', async () => {
    const endless = scenario(() => new Promise(() => undefined), { deadlineMs: 50 });
    expect((await runScenario(harness(), endless)).note).toContain('it did not end within 50 ms');
  });

  it('whose fault the harness lacks is not applicable, with the reason', async () => {
    const cut = scenario(async () => undefined, { faults: ['cut'] });
    expect(await runScenario(harness({}, { without: { cut: 'no network' } }), cut)).toMatchObject({
      outcome: 'not applicable',
      note: 'no network',
    });
  });

  it('that the broker cannot pass though its driver is right is not applicable, with the reason', async () => {
    const failing = scenario(() => Promise.reject(new Error('it ran')));
    expect(await runScenario(harness({}, { except: { test: 'it reorders' } }), failing)).toMatchObject({
      outcome: 'not applicable',
      note: 'it reorders',
    });
  });

  it.each([
    ['killed', ['kill', 'stop', 'start'], 'kill'],
    ['stopped where a kill would lose what it stored', ['stop', 'start'], 'stop'],
  ] as const)('that needs the broker down has it %s', async (_, faults, expected) => {
    const calls: string[] = [];
    const plain = harness();
    const open: Harness['open'] = async () => ({
      ...(await plain.open()),
      faults: { kill: async () => void calls.push('kill'), stop: async () => void calls.push('stop') },
    });
    const down = scenario((kit) => kit.down(), { faults: ['down', 'start'] });
    expect(await runScenario({ ...plain, faults, open }, down)).toMatchObject({ outcome: 'passed' });
    expect(calls).toEqual([expected]);
  });

  it('that needs the broker down is not applicable where it can be neither killed nor stopped', async () => {
    const down = scenario(async () => undefined, { faults: ['down', 'start'] });
    expect(await runScenario(harness({}, { without: { kill: 'not ours' } }), down)).toMatchObject({
      outcome: 'not applicable',
      note: 'not ours',
    });
  });
});

describe('what a driver does not declare', () => {
  const never = (): Promise<void> => Promise.reject(new Error('it ran'));

  it.each([
    ['ordering', { ordering: 'none' }],
    ['delay', { maxDelayMs: 0 }],
  ] as const)('is proven to be refused: %s', async (need, capabilities) => {
    const result = await runScenario(harness(capabilities), scenario(never, { needs: [need] }));
    expect(result.outcome).toBe('refused');
    expect(result.note).toContain(`does not declare "${need}"`);
  });

  it('is proven to be refused: management rights', async () => {
    const powerless = harness();
    const open: Harness['open'] = async () => {
      const session = await powerless.open();
      return {
        ...session,
        createDriver: () => Object.defineProperty(session.createDriver(), 'admin', { value: undefined }),
      };
    };
    const result = await runScenario({ ...powerless, open }, scenario(never, { needs: ['admin'] }));
    expect(result.outcome).toBe('refused');
  });

  it('fails the scenario where it is not refused', async () => {
    // Declared when the runner asks, and not when the bus does.
    let asked = 0;
    const flickering = harness();
    const open: Harness['open'] = async () => {
      const session = await flickering.open();
      return {
        ...session,
        createDriver() {
          asked += 1;
          return memory({ capabilities: { ordering: asked === 1 ? 'none' : 'key' } });
        },
      };
    };
    const result = await runScenario({ ...flickering, open }, scenario(never, { needs: ['ordering'] }));
    expect(result.outcome).toBe('failed');
    expect(result.note).toContain('expected a rejection with UNSUPPORTED');
  });
});

describe('the set', () => {
  it('has at least 70 scenarios with ids of their own', () => {
    expect(SCENARIOS.length).toBeGreaterThanOrEqual(70);
    expect(new Set(SCENARIOS.map(({ id }) => id)).size).toBe(SCENARIOS.length);
  });

  it('has a quick one for each guarantee', async () => {
    const quick = new Set(selectScenarios(undefined, true).map(({ guarantee }) => guarantee));
    expect(Object.keys(GUARANTEES).filter((id) => !quick.has(id as keyof typeof GUARANTEES))).toEqual([]);
  });

  it('has at least three for each guarantee, one of them under a fault', async () => {
    const short = Object.keys(GUARANTEES).filter((guarantee) => {
      const own = SCENARIOS.filter((each) => each.guarantee === guarantee);
      return own.length < 3 || !own.some(({ faults = [] }) => faults.length > 0);
    });
    expect(short).toEqual([]);
  });

  it('has the ten that tell a real implementation from a toy', () => {
    const ten = [
      ['retry-copy-window', 'dead-letter-copy-window', 'redrive-killed'],
      ['crash-poison'],
      ['frozen-process'],
      ['churn-order'],
      ['failing-keys'],
      ['publish-faults'],
      ['copy-store-down'],
      ['delays', 'delay-behind-backlog', 'delay-consumer-absent', 'delay-missing-target', 'delay-others-deleted'],
      ['dead-lane'],
      ['rolling-skew'],
    ].flat();
    expect(selectScenarios(ten)).toHaveLength(ten.length);
  });

  it('refuses an id that does not exist', async () => {
    await expect(runScenarios({ harness: harness(), only: ['stored-before-resolv'] })).rejects.toThrow(
      'There is no scenario "stored-before-resolv".',
    );
  });
});
