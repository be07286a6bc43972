import { describe, expect, test } from 'vitest';
import type { FetchedMessage } from '../src/client/kafkajs-cluster.ts';
import { visibleRecords } from '../src/client/kafkajs-records.ts';

const PLAIN = '-1';

interface Batch {
  readonly first: number;
  readonly last: number;
  /** Of a transaction, if not {@link PLAIN}. */
  readonly producer?: string;
  readonly control?: boolean;
  /** Compaction took them. */
  readonly without?: readonly number[];
}

/** As kafkajs decodes it: offsets are text, and each message knows its batch. */
function messagesOf({ first, last, producer = PLAIN, control = false, without = [] }: Batch): FetchedMessage[] {
  const batchContext = {
    firstOffset: String(first),
    lastOffsetDelta: last - first,
    producerId: producer,
    inTransaction: producer !== PLAIN,
  };
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
    .filter((offset) => !without.includes(offset))
    .map((offset) => ({
      offset: String(offset),
      timestamp: String(offset * 10),
      key: null,
      value: Buffer.from(String(offset)),
      headers: {},
      isControlRecord: control,
      batchContext,
    }));
}

function seen(batches: readonly Batch[], aborted: readonly (readonly [producer: string, first: number])[], from = 0) {
  const { records, next } = visibleRecords(
    {
      partition: 0,
      messages: batches.flatMap(messagesOf),
      abortedTransactions: aborted.map(([producerId, first]) => ({ producerId, firstOffset: String(first) })),
    },
    from,
  );
  return { offsets: records.map(({ offset }) => offset), next };
}

const end = (offset: number, producer: string): Batch => ({ first: offset, last: offset, producer, control: true });

describe('what a reader sees', () => {
  test('every record, with numbers for its offset and time', () => {
    const messages = messagesOf({ first: 5, last: 6 });
    expect(visibleRecords({ partition: 0, messages, abortedTransactions: null }, 5)).toEqual({
      records: [
        { offset: 5, timestamp: 50, key: null, value: Buffer.from('5'), headers: {} },
        { offset: 6, timestamp: 60, key: null, value: Buffer.from('6'), headers: {} },
      ],
      next: 7,
    });
  });

  test('not what is before the offset that was asked for', () => {
    expect(seen([{ first: 0, last: 9 }], [], 7)).toEqual({ offsets: [7, 8, 9], next: 10 });
  });

  test('nothing of nothing, and no way on', () => {
    expect(seen([], [], 7)).toEqual({ offsets: [], next: 7 });
  });

  test('no control records, and reading goes on behind them', () => {
    expect(seen([{ first: 0, last: 1, producer: '9' }, end(2, '9')], [])).toEqual({ offsets: [0, 1], next: 3 });
    expect(seen([end(0, '9'), end(1, '8')], [])).toEqual({ offsets: [], next: 2 });
  });

  test('nothing of a transaction that was aborted, and what others stored meanwhile', () => {
    const batches = [
      { first: 0, last: 1, producer: '9' },
      { first: 2, last: 3 },
      { first: 4, last: 4, producer: '8' },
      { first: 5, last: 5, producer: '9' },
      end(6, '9'),
      end(7, '8'),
    ];
    expect(seen(batches, [['9', 0]])).toEqual({ offsets: [2, 3, 4], next: 8 });
    expect(seen(batches, [['8', 4]])).toEqual({ offsets: [0, 1, 2, 3, 5], next: 8 });
    expect(
      seen(batches, [
        ['8', 4],
        ['9', 0],
      ]),
    ).toEqual({ offsets: [2, 3], next: 8 });
  });

  test('the next transaction of a producer whose last one was aborted', () => {
    const batches = [
      { first: 0, last: 0, producer: '9' },
      end(1, '9'),
      { first: 2, last: 2, producer: '9' },
      end(3, '9'),
      { first: 4, last: 4, producer: '9' },
      end(5, '9'),
    ];
    expect(seen(batches, [['9', 0]])).toEqual({ offsets: [2, 4], next: 6 });
    expect(
      seen(batches, [
        ['9', 0],
        ['9', 4],
      ]),
    ).toEqual({ offsets: [2], next: 6 });
  });

  test('nothing of an aborted transaction that began before what was asked for', () => {
    const batches = [{ first: 10, last: 14, producer: '9' }, { first: 15, last: 15 }, end(16, '9')];
    expect(seen(batches, [['9', 3]], 12)).toEqual({ offsets: [15], next: 17 });
  });

  test('the end of a transaction before what was asked for counts', () => {
    const batches = [{ first: 0, last: 0, producer: '9' }, end(1, '9'), { first: 2, last: 3, producer: '9' }];
    expect(seen(batches, [['9', 0]], 3)).toEqual({ offsets: [3], next: 4 });
  });

  test('a batch whose end compaction took is passed over', () => {
    expect(seen([{ first: 0, last: 9, without: [8, 9] }], [], 8)).toEqual({ offsets: [], next: 10 });
    expect(seen([{ first: 0, last: 9, without: [3, 9] }], [], 2)).toEqual({ offsets: [2, 4, 5, 6, 7, 8], next: 10 });
  });
});
