import { describe, expect, it } from 'vitest';

import { type Abilities, durationOf, makePlan, type Plan } from '../../src/chaos/plan.ts';

const everything: Abilities = {
  faults: [
    ...(['cut', 'blackHole', 'delay', 'loseConfirms', 'pause', 'kill', 'start'] as const),
    ...(['refuseDeadLane', 'kill-process', 'freeze-process'] as const),
  ],
  nodes: 3,
};

const kindsOf = ({ steps }: Plan): ReadonlySet<string> => new Set(steps.map(({ fault }) => fault));

describe('a plan of faults', () => {
  it('is the same for the same seed, and another one for another', () => {
    expect(makePlan(durationOf(20_000), 7, everything)).toEqual(makePlan(durationOf(20_000), 7, everything));
    expect(makePlan(durationOf(20_000), 8, everything).steps).not.toEqual(
      makePlan(durationOf(20_000), 7, everything).steps,
    );
  });

  it('has each kind before it repeats one, and all kinds in a run of 40,000 messages', () => {
    const plan = makePlan(durationOf(40_000), 1, everything);
    const kinds = kindsOf(plan);
    expect(kinds.size).toBe(17);
    expect(new Set(plan.steps.slice(0, kinds.size).map(({ fault }) => fault))).toEqual(kinds);
  });

  it('has one fault at a time, but for processes that are frozen, and ends before publishing does', () => {
    for (let seed = 0; seed < 50; seed += 1) {
      const { steps, durationMs } = makePlan(durationOf(20_000), seed, everything);
      for (const [index, { atMs, fault, forMs }] of steps.entries()) {
        const next = steps[index + 1]?.atMs ?? durationMs;
        expect(next).toBeGreaterThan(fault.startsWith('freeze-') ? atMs : atMs + forMs);
        expect(atMs + forMs).toBeLessThan(durationMs);
      }
    }
  });

  it('is as long as the number of messages says, and no longer', () => {
    expect(durationOf(20_000)).toBe(110_000);
    expect(durationOf(100)).toBe(40_000);
    expect(durationOf(1_000_000)).toBeLessThan(45 * 60_000);
    expect(makePlan(durationOf(1_000_000), 1, everything).steps.length).toBeGreaterThan(200);
  });

  it('leaves out what the harness cannot do, and says why', () => {
    const faults = everything.faults.filter((fault) => fault !== 'kill' && fault !== 'cut');
    const plan = makePlan(durationOf(40_000), 1, { faults, without: { cut: 'it has no network' }, nodes: 1 });
    expect(plan.leftOut).toEqual({
      cut: 'the harness has no cut: it has no network',
      'broker-down': 'the harness has neither kill nor stop',
      'node-down': 'the broker has one node',
    });
    expect([...kindsOf(plan)].filter((fault) => fault in plan.leftOut)).toEqual([]);
  });

  it('takes a broker down that can be stopped only', () => {
    const faults = everything.faults.map((fault) => (fault === 'kill' ? 'stop' : fault));
    expect(kindsOf(makePlan(durationOf(40_000), 1, { faults })).has('broker-down')).toBe(true);
  });

  it('has the kinds that are asked for and refuses unknown ones by name', () => {
    expect([...kindsOf(makePlan(durationOf(5_000), 1, everything, ['cut', 'pause']))].toSorted()).toEqual([
      'cut',
      'pause',
    ]);
    expect(() => makePlan(durationOf(5_000), 1, everything, ['flood'])).toThrow('There is no fault flood');
  });
});
