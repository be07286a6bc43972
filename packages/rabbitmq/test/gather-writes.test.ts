import { setImmediate as nextTurn } from 'node:timers/promises';
import { Duplex } from 'node:stream';
import type { Connection } from 'amqplib';
import { describe, expect, test } from 'vitest';
import { gatherWrites } from '../src/gather-writes.ts';

/** A stream that keeps what each call to the system would write. */
function stream(writableHighWaterMark?: number): { readonly duplex: Duplex; readonly calls: string[] } {
  const calls: string[] = [];
  const duplex = new Duplex({
    ...(writableHighWaterMark === undefined ? {} : { writableHighWaterMark }),
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => (calls.push(chunk.toString()), done()),
    writev: (chunks, done) => (calls.push(chunks.map(({ chunk }) => String(chunk)).join('')), done()),
  });
  gatherWrites({ stream: duplex } as unknown as Connection);
  return { duplex, calls };
}

describe('writes of one turn', () => {
  test('go out together, in order, and those of the next turn after them', async () => {
    const { duplex, calls } = stream();
    for (const text of ['a', 'b', 'c']) duplex.write(text);
    expect(calls).toEqual([]);
    await nextTurn();
    for (const text of ['d', 'e']) duplex.write(text);
    await nextTurn();
    expect(calls).toEqual(['abc', 'de']);
  });

  test('ask to wait when the buffer is full, and say when there is room', async () => {
    const { duplex, calls } = stream(4);
    let drained = 0;
    duplex.on('drain', () => (drained += 1));
    expect(duplex.write('abc')).toBe(true);
    expect(duplex.write('def')).toBe(false);
    await nextTurn();
    expect({ calls, drained }).toEqual({ calls: ['abcdef'], drained: 1 });
  });

  test('are all out before the stream ends', async () => {
    const { duplex, calls } = stream();
    duplex.write('a');
    duplex.end('b');
    await nextTurn();
    expect(calls.join('')).toBe('ab');
    expect(duplex.writableFinished).toBe(true);
  });
});

test('a connection without a stream is left as it is', () => {
  expect(() => gatherWrites({} as unknown as Connection)).not.toThrow();
});
