import { describe, expect, it } from 'vitest';

import { boundOf } from '../../src/chaos/bounds.ts';
import { NO_MESSAGE } from '../../src/chaos/ledger.ts';
import { ATTEMPTS } from '../../src/chaos/workload.ts';
import { failed, faultless, find, isPlain, type Line, verdictOn, workload } from './kit.ts';

const plain = find(isPlain, 200);
const poison = find((index) => workload.isPoison('ordered', index));
const poisonAside = find((index) => workload.isPoison('concurrent', index));
/** Of the key of {@link plain}, behind it. */
const behind = plain + (plain - workload.before(plain));

const isOf =
  (process: string, index: number) =>
  (line: Line): boolean =>
    line.process.startsWith(process) && line.index === index;

const without = (lines: readonly Line[], isOut: (line: Line) => boolean): readonly Line[] =>
  lines.filter((line) => !isOut(line));

describe('the checker', () => {
  it('passes a run in which all went well, and counts it', () => {
    const verdict = verdictOn(faultless());
    expect(failed(verdict)).toEqual({});
    expect(verdict.publishes).toMatchObject({ confirmed: workload.messages, none: 0 });
    expect(verdict.consumers.ordered).toMatchObject({ distinct: workload.messages, repeats: 0, bound: 0 });
  });

  it('finds a message that one consumer never got', () => {
    const verdict = verdictOn(without(faultless(), isOf('concurrent', plain)));
    expect(failed(verdict)).toEqual({ lost: 1 });
    expect(verdict.problems.kept).toMatchObject([
      { check: 'lost', index: plain, what: 'is not handled in concurrent' },
    ]);
  });

  it('finds a message that was started and whose process then died, also when nobody confirmed its publish', () => {
    const lines = without(faultless(), ({ index, kind }) => index === plain && /confirmed|handled/.test(kind));
    expect(failed(verdictOn(lines))).toEqual({ lost: 2 });
  });

  it('finds that a broker was asked to settle what it did not hand out', () => {
    const line: Line = { process: 'concurrent-1.1', kind: 'misused', index: NO_MESSAGE };
    expect(failed(verdictOn([...faultless(), line]))).toEqual({ settled: 1 });
  });

  it('asks nothing of a publish that ended with TIMEOUT and never arrived', () => {
    const lines = without(faultless(), ({ index, kind }) => index === plain && kind !== 'intent');
    const process = `publisher-${(plain % 3) + 1}.1`;
    expect(failed(verdictOn([...lines, { process, kind: 'rejected', index: plain, code: 'TIMEOUT' }]))).toEqual({});
  });

  it('finds what was rejected as not stored and arrived all the same', () => {
    const rejected = faultless().map((line): Line => {
      const isIt = line.index === plain && line.kind === 'confirmed';
      return isIt ? { ...line, kind: 'rejected', code: 'UNAVAILABLE' } : line;
    });
    expect(failed(verdictOn(rejected))).toEqual({ refused: 2 });
  });

  it('finds a message that starts before the one in front of it is over, in the ordered consumer only', () => {
    const [late] = faultless().filter(isOf('ordered', plain)).slice(-1) as [Line];
    const lines = without(faultless(), (line) => isOf('ordered', plain)(line) && line.kind === 'handled');
    const verdict = verdictOn([...lines, late]);
    expect(failed(verdict)).toEqual({ order: 1 });
    expect(verdict.problems.kept).toMatchObject([{ index: behind }]);
    const concurrent = without(faultless(), (line) => isOf('concurrent', plain)(line) && line.kind === 'handled');
    expect(failed(verdictOn([...concurrent, { ...late, process: 'concurrent-1.1' }]))).toEqual({});
  });

  it('gives no place in the order to what ended with TIMEOUT', () => {
    const late = faultless().filter(isOf('ordered', plain));
    const rejected = without(faultless(), isOf('ordered', plain)).map((line): Line => {
      const isIt = line.index === plain && line.kind === 'confirmed';
      return isIt ? { ...line, kind: 'rejected', code: 'TIMEOUT' } : line;
    });
    expect(failed(verdictOn([...rejected, ...late]))).toEqual({});
  });

  it('finds a successor that starts before the dead letter in front of it is stored', () => {
    const [dead] = faultless().filter((line) => isOf('ordered-', poison)(line) && line.kind === 'dead') as [Line];
    const lines = without(faultless(), (line) => isOf('ordered-', poison)(line) && line.kind === 'dead');
    expect(failed(verdictOn([...lines, dead]))).toEqual({ order: 1 });
  });

  it('takes a dead letter that no process was told of for stored in time where a fault can have cost the answer', () => {
    const lines = without(faultless(), (line) => isOf('ordered-', poison)(line) && line.kind === 'dead');
    expect(failed(verdictOn(lines))).toEqual({ order: 1 });
    const disruptions = [{ fault: 'lose-confirms', from: 0, until: 1e9 }];
    expect(failed(verdictOn(lines, { disruptions }))).toEqual({});
    const told = faultless().filter((line) => isOf('ordered-', poison)(line) && line.kind === 'dead');
    expect(failed(verdictOn([...lines, ...told], { disruptions }))).toEqual({ order: 1 });
    const unstored = without(lines, (line) => line.kind === 'letter' && line.index === poison);
    expect(failed(verdictOn(unstored, { disruptions }))).toEqual({ lost: 1, order: 1 });
  });

  it('finds a wrong reason, a wrong number of attempts and an innocent among the dead letters', () => {
    const letters = faultless().map((line): Line => {
      if (line.kind !== 'letter') return line;
      if (line.index === poison && line.process.endsWith('ordered')) return { ...line, code: 'crash-loop' };
      if (line.index === poisonAside && line.process.endsWith('concurrent')) return { ...line, attempt: 2 };
      return line;
    });
    const innocent: Line = { process: 'letters-ordered', kind: 'letter', index: plain, attempt: 1, code: 'crash-loop' };
    expect(failed(verdictOn([...letters, innocent]))).toEqual({ reasons: 3 });
  });

  it('takes the killer for right in both ways', () => {
    const { killer: index } = workload;
    const lines = without(faultless(), isOf('concurrent', index));
    const letter: Line = { process: 'letters-concurrent', kind: 'letter', index, attempt: 1, code: 'crash-loop' };
    expect(failed(verdictOn([...lines, letter]))).toEqual({});
  });

  it('finds poison that is no dead letter, unless its lane was made anew after', () => {
    const lines = without(faultless(), (line) => line.kind === 'letter' && line.index === poison);
    expect(failed(verdictOn(lines))).toEqual({ lost: 1 });
    const disruptions = [{ fault: 'refuse-dead-ordered 1', from: 0, until: 1e9 }];
    expect(failed(verdictOn(lines, { disruptions }))).toEqual({});
  });

  it('finds an attempt that is ahead of the failures, and one beyond the last', () => {
    const ahead: Line = { process: 'concurrent-1.1', kind: 'started', index: plain, attempt: 2 };
    const lines = faultless().flatMap((line) => {
      const isIt = isOf('concurrent', plain)(line) && line.kind === 'handled';
      return isIt ? [ahead, line] : [line];
    });
    expect(failed(verdictOn(lines))).toEqual({ attempts: 1 });
    const beyond: Line = { process: 'ordered-1.1', kind: 'started', index: poison, attempt: ATTEMPTS + 1 };
    const poisoned = faultless().flatMap((line) => {
      const isIt = isOf('ordered-', poison)(line) && line.kind === 'dead';
      return isIt ? [beyond, line] : [line];
    });
    expect(failed(verdictOn(poisoned))).toEqual({ attempts: 1 });
  });

  it('finds an attempt that runs again without a fault, and takes one that a fault explains', () => {
    const again = faultless().filter(isOf('ordered', plain));
    const verdict = verdictOn([...faultless(), ...again]);
    expect(failed(verdict)).toEqual({ unexplained: 1, duplicates: 1 });
    const disruptions = [{ fault: 'cut', from: 0, until: 0 }];
    expect(failed(verdictOn([...faultless(), ...again], { disruptions }))).toEqual({});
    const early = [{ fault: 'cut', from: -60e6, until: -60e6 }];
    expect(failed(verdictOn([...faultless(), ...again], { disruptions: early }))).toEqual({ unexplained: 1 });
  });

  it('finds a failed attempt that is not counted', () => {
    const again = faultless()
      .filter((line) => isOf('ordered-', poison)(line) && line.attempt === 1)
      .slice(0, 2);
    expect(failed(verdictOn([...faultless(), ...again]))).toEqual({ unexplained: 1, duplicates: 1 });
  });

  it('finds more duplicates than the faults can have made', () => {
    const disruptions = [{ fault: 'kill-concurrent 1', from: 0, until: 0 }];
    const bound = boundOf(disruptions, 'concurrent');
    const again = faultless()
      .filter(({ process, index }) => process.startsWith('concurrent') && isPlain(index))
      .slice(0, 2 * (bound + 1));
    expect(failed(verdictOn([...faultless(), ...again.slice(0, -2)], { disruptions }))).toEqual({});
    expect(failed(verdictOn([...faultless(), ...again], { disruptions }))).toEqual({ duplicates: 1 });
  });

  it('finds a message that no process published, and one that was published twice', () => {
    const process = `publisher-${(plain % 3) + 1}.1`;
    const never = without(faultless(), isOf('', plain));
    expect(failed(verdictOn(never))).toMatchObject({ published: expect.any(Number) as number });
    const twice = [...faultless(), { process, kind: 'intent', index: plain } as const];
    expect(failed(verdictOn(twice))).toEqual({ published: 1 });
  });

  it('finds a process that died by itself, and none that was killed or killed itself', () => {
    const died = { code: null, signal: 'SIGKILL', ordered: false } as const;
    const ends = [
      { process: 'ordered-1.1', code: null, signal: 'SIGKILL', ordered: true },
      { process: 'ordered-1.2', code: 0, signal: null, ordered: true },
      { ...died, process: 'concurrent-2.1' },
    ] as const;
    const dies: Line = { process: 'concurrent-2.1', kind: 'dies', index: workload.killer };
    expect(failed(verdictOn([...faultless(), dies], { ends }))).toEqual({});
    expect(failed(verdictOn(faultless(), { ends }))).toEqual({ processes: 1 });
    const crashed = [{ process: 'ordered-1.1', code: 1, signal: null, ordered: false }];
    expect(failed(verdictOn(faultless(), { ends: crashed }))).toEqual({ processes: 1 });
    const left = (process: string) => [{ process, code: 0, signal: null, ordered: false }];
    expect(failed(verdictOn(faultless(), { ends: left('ordered-1.1') }))).toEqual({ processes: 1 });
    expect(failed(verdictOn(faultless(), { ends: left('publisher-1.1') }))).toEqual({});
  });

  it('finds a process whose memory grows', () => {
    const life = (mib: (nth: number) => number) =>
      Array.from({ length: 60 }, (_, nth) => ({ atMs: nth * 2_000, mib: mib(nth) }));
    const flat = { process: 'ordered-1.1', samples: life((nth) => Math.min(80, 60 + nth)) };
    const growing = { process: 'ordered-2.1', samples: life((nth) => 60 + nth) };
    expect(failed(verdictOn(faultless(), { memories: [flat, growing] }))).toEqual({ memory: 1 });
  });
});
