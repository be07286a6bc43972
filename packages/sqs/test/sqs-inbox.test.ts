import { describe, expect, test } from 'vitest';
import { SqsInbox } from '../src/sqs-inbox.ts';

const delivery = (name: string, leaseUntil = 100, group?: string) => ({ name, leaseUntil, group });
const names = (all: readonly { readonly name: string }[]): string => all.map(({ name }) => name).join('');

describe('inbox', () => {
  test('hands out in the order in which it was filled, at most what is asked for', () => {
    const inbox = new SqsInbox<ReturnType<typeof delivery>>();
    inbox.push([delivery('a'), delivery('b')]);
    expect(names(inbox.take(1, 0))).toBe('a');
    inbox.push([delivery('x'), delivery('c')]);
    expect(names(inbox.take(2, 0))).toBe('bx');
    expect(inbox.size).toBe(1);
    expect(names(inbox.take(2, 0))).toBe('c');
    expect(inbox.take(2, 0)).toEqual([]);
  });

  test('drops what is ours no longer, and fills up with what is', () => {
    const inbox = new SqsInbox<ReturnType<typeof delivery>>();
    inbox.push([delivery('a', 50), delivery('b', 101), delivery('c', 100), delivery('d', 102), delivery('e', 103)]);
    expect(names(inbox.take(2, 100))).toBe('bd');
    expect(inbox.size).toBe(1);
    expect(names(inbox.take(2, 100))).toBe('e');
  });

  test('gives up what is of some groups, and keeps the others in their order', () => {
    const inbox = new SqsInbox<ReturnType<typeof delivery>>();
    inbox.push([delivery('a', 9, 'x'), delivery('b', 9, 'y'), delivery('c', 9), delivery('d', 9, 'x')]);
    expect(names(inbox.takeGroups(new Set(['x', 'z'])))).toBe('ad');
    expect(names(inbox.clear())).toBe('bc');
    expect(inbox.size).toBe(0);
  });
});
