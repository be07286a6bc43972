import { describe, expect, it } from 'vitest';

import { jsonOf, textOf } from '../../src/chaos/report.ts';
import { faultless, find, isPlain, newFolder, verdictOn } from './kit.ts';

const lost = find(isPlain, 200);
const plan = {
  seed: 1,
  durationMs: 40_000,
  steps: [{ atMs: 4_000, fault: 'kill-ordered', forMs: 0, process: 2 }],
  leftOut: { cut: 'there is no network' },
};

const run = (isGood: boolean) => {
  const folder = newFolder();
  const lines = faultless().filter(({ process, index, kind }) => {
    return isGood || !(process.startsWith('ordered') && index === lost && kind === 'handled');
  });
  return { ...verdictOn(lines, { folder }), plan, folder, startedAt: 0, version: '1.2.3', tookMs: 61_000 };
};

describe('a report', () => {
  it('says what was done, what was left out and that all holds', () => {
    const text = textOf(run(true));
    expect(text).toContain('1 faults: kill-ordered 2');
    expect(text).toContain('without cut: there is no network');
    expect(text).toContain('600 confirmed');
    expect(text).not.toContain('FAILED');
  });

  it('has the history of a message that something is wrong with, from all ledgers', () => {
    const text = textOf(run(false));
    expect(text).toContain(`lost: step-${lost} is not handled in ordered`);
    const history = text.slice(text.indexOf('lost: ')).split('\n').slice(1, 6);
    expect(history.map((line) => line.trim().split(/\s+/).slice(2).join(' '))).toEqual([
      `publisher-${(lost % 3) + 1}.1 intent`,
      `publisher-${(lost % 3) + 1}.1 confirmed`,
      'ordered-1.1 started attempt 1',
      'concurrent-1.1 started attempt 1',
      'concurrent-1.1 handled attempt 1',
    ]);
  });

  it('is the same for machines, and names none', () => {
    const json = JSON.stringify(jsonOf(run(false), { broker: 'rabbitmq', command: 'pnpm chaos' }));
    expect(JSON.parse(json)).toMatchObject({ version: '1.2.3', failed: { lost: 1, memory: 0 }, plan: { seed: 1 } });
    expect(json).not.toContain('/tmp');
  });
});
