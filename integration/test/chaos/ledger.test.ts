import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';

import { Ledger, ledgerFile, mergeLedgers, processesIn, readLedger } from '../../src/chaos/ledger.ts';
import { newFolder } from './kit.ts';

describe('a ledger', () => {
  it('gives back what was written, also by several lives and past the size of a read', () => {
    const file = ledgerFile(newFolder(), 'ordered-1.1');
    const first = new Ledger(file);
    first.add({ kind: 'started', index: 4_000_000_000, attempt: 3 }, 1.5);
    first.close();
    const second = new Ledger(file);
    for (let index = 0; index < 10_000; index += 1) second.add({ kind: 'rejected', index, code: 'TIMEOUT' }, index + 2);
    second.close();
    const [head, ...rest] = [...readLedger(file)];
    expect(head).toEqual({ kind: 'started', index: 4_000_000_000, attempt: 3, code: '', at: 1.5 });
    expect(rest).toHaveLength(10_000);
    expect(rest.at(-1)).toEqual({ kind: 'rejected', index: 9_999, attempt: 0, code: 'TIMEOUT', at: 10_001 });
  });

  it('keeps a code that it does not know apart from those it knows', () => {
    const file = ledgerFile(newFolder(), 'letters-ordered');
    new Ledger(file).add({ kind: 'letter', index: 1, code: 'nobody knows' });
    expect([...readLedger(file)]).toMatchObject([{ code: 'something else' }]);
  });

  it('leaves out what a kill left half written', () => {
    const file = ledgerFile(newFolder(), 'ordered-1.1');
    new Ledger(file).add({ kind: 'handled', index: 5, attempt: 1 });
    appendFileSync(file, 'half');
    expect([...readLedger(file)]).toMatchObject([{ index: 5 }]);
  });

  it('forgets nothing of a process that kills itself right after', async () => {
    const folder = newFolder();
    const url = new URL('../../dist/chaos/ledger.js', import.meta.url).href;
    const source = `import { Ledger } from '${url}';
      const ledger = new Ledger(process.argv[1]);
      for (let index = 0; index < 100; index += 1) ledger.add({ kind: 'handled', index });
      process.kill(process.pid, 'SIGKILL');`;
    const file = ledgerFile(folder, 'ordered-1.1');
    const child = spawn(process.execPath, ['--input-type=module', '--eval', source, file]);
    await once(child, 'exit');
    expect(child.signalCode).toBe('SIGKILL');
    expect([...readLedger(file)]).toHaveLength(100);
  });

  it('merges with others in the order of time', () => {
    const folder = newFolder();
    for (const [process, times] of Object.entries({ 'a-1.1': [1, 4, 9], 'a-2.1': [2, 3, 10], 'b-1.1': [5] })) {
      const ledger = new Ledger(ledgerFile(folder, process));
      for (const at of times) ledger.add({ kind: 'handled', index: at }, at);
      ledger.close();
    }
    const merged = [...mergeLedgers(folder, processesIn(folder, 'a-'))];
    expect(merged.map(([process, { at }]) => [process, at])).toEqual([
      ['a-1.1', 1],
      ['a-2.1', 2],
      ['a-2.1', 3],
      ['a-1.1', 4],
      ['a-1.1', 9],
      ['a-2.1', 10],
    ]);
  });

  it('names lives in their order', () => {
    const folder = newFolder();
    for (const life of [10, 2, 1]) new Ledger(ledgerFile(folder, `publisher-1.${life}`)).close();
    expect(processesIn(folder, 'publisher-1.')).toEqual(['publisher-1.1', 'publisher-1.2', 'publisher-1.10']);
  });
});
