import { describe, expect, it } from 'vitest';
import { readBookkeeping } from '../../src/failure/bookkeeping.ts';
import { deadBookkeeping, type DeadLetterWay, deadLetterWays, isTooLarge } from '../../src/failure/dead-letter.ts';
import { WaybillError } from '../../src/index.ts';
import { sizeOf } from '../../src/runtime/entry.ts';
import { NOW, taskOf, unreadable } from './kit.ts';

const thrown = new Error('no such order 😀'.repeat(100));

function copied(way: DeadLetterWay | undefined): Extract<DeadLetterWay, { kind: 'copy' }>['message'] {
  if (way?.kind !== 'copy') throw new Error('it is no copy');
  return way.message;
}

describe('the bookkeeping of a dead letter', () => {
  it('says all that is known of why', () => {
    const task = taskOf({ attempt: 5, topic: 'orders', redrives: 1, firstFailedAt: NOW - 1_000 });
    expect(deadBookkeeping(task, 'handler-failed', new TypeError('no such order'), NOW)).toEqual({
      attempt: 5,
      queue: 'billing',
      topic: 'orders',
      redrives: 1,
      firstFailedAt: NOW - 1_000,
      reason: 'handler-failed',
      deadAt: NOW,
      error: {
        name: 'TypeError',
        message: 'no such order',
        stack: expect.stringContaining('TypeError: no such order') as unknown,
      },
    });
  });

  it('fails for the first time now where it never failed before', () => {
    expect(deadBookkeeping(taskOf(), 'rejected', thrown, NOW)).toMatchObject({ attempt: 1, firstFailedAt: NOW });
  });

  it('forgets what only waits need', () => {
    const task = taskOf({ notBefore: NOW, hops: 3, unknownSince: NOW });
    const bookkeeping = deadBookkeeping(task, 'unknown-type', thrown, NOW);
    for (const name of ['notBefore', 'hops', 'unknownSince']) expect(bookkeeping).not.toHaveProperty(name);
  });

  it('names a message that has no readable envelope, always the same', () => {
    const first = deadBookkeeping(unreadable({ position: 'orders/3@1042' }), 'undecodable', thrown, NOW);
    const again = deadBookkeeping(
      unreadable({ position: 'orders/3@1042', deliveries: 2 }),
      'undecodable',
      thrown,
      NOW + 1,
    );
    expect(first.id).toMatch(/^[0-9a-f-]{14}5/);
    expect(again.id).toBe(first.id);
    expect(deadBookkeeping(unreadable({ position: 'orders/3@1043' }), 'undecodable', thrown, NOW).id).not.toBe(
      first.id,
    );
    expect(deadBookkeeping(taskOf(), 'rejected', thrown, NOW)).not.toHaveProperty('id');
  });
});

describe('the ways to the dead lane', () => {
  const task = taskOf({ attempt: 2 }, { key: 'customer-7', headers: { 'x-foreign': '1' } });
  const bookkeeping = deadBookkeeping(task, 'handler-failed', thrown, NOW);

  it('are one native step where the broker keeps our headers', () => {
    const ways = deadLetterWays(task, 'billing', bookkeeping, 'annotated');
    expect(ways).toHaveLength(1);
    expect(ways[0]?.kind).toBe('reject');
    expect(readBookkeeping(ways[0]?.kind === 'reject' ? ways[0].headers['waybill'] : undefined)).toEqual(bookkeeping);
  });

  it('lose the stack, then the error, then go natively where that loses the headers', () => {
    const ways = deadLetterWays(task, 'billing', bookkeeping, 'bare');
    expect(ways.map((way) => way.kind)).toEqual(['copy', 'copy', 'copy', 'reject']);
    const [whole, stackless, errorless] = ways.map((way) =>
      way.kind === 'copy' ? readBookkeeping(way.message.headers['waybill']) : undefined,
    );
    expect(whole).toEqual(bookkeeping);
    expect(stackless?.error).toEqual({ name: 'Error', message: bookkeeping.error?.message });
    expect(errorless).not.toHaveProperty('error');
    expect(errorless).toMatchObject({ attempt: 2, reason: 'handler-failed', deadAt: NOW });
    expect(ways.at(-1)).toEqual({ kind: 'reject', headers: {} });
  });

  it('end with a bare copy where the broker has no such step', () => {
    const ways = deadLetterWays(task, 'billing', bookkeeping, 'none');
    expect(ways.map((way) => way.kind)).toEqual(['copy', 'copy', 'copy', 'copy']);
    const bare = copied(ways.at(-1));
    expect(bare.headers).toEqual({ 'x-foreign': '1' });
    expect(bare.body).toBe(task.delivery.body);
  });

  it('shrink at every step, and the last is no larger than what came', () => {
    const sizes = deadLetterWays(task, 'billing', bookkeeping, 'none').map((way) => sizeOf(copied(way)));
    expect(sizes).toEqual(sizes.toSorted((left, right) => right - left));
    expect(new Set(sizes).size).toBe(4);
    const { body, contentType, headers } = task.delivery;
    const came = sizeOf({
      target: { queue: 'billing', lane: 'work' },
      id: 'order-7',
      type: 'order.placed',
      body,
      contentType,
      headers,
    });
    expect((sizes.at(-1) as number) - came).toBe('#d'.length);
  });

  it('all go to the dead lane with the same id, key and bytes', () => {
    for (const way of deadLetterWays(task, 'billing', bookkeeping, 'none')) {
      const { target, id, key, body, contentType } = copied(way);
      expect({ target, id, key, contentType }).toEqual({
        target: { queue: 'billing', lane: 'dead' },
        id: 'order-7#d',
        key: 'customer-7',
        contentType: task.delivery.contentType,
      });
      expect(body).toBe(task.delivery.body);
    }
  });

  it('add at most the 8 KiB that every message leaves free', () => {
    const worst = deadBookkeeping(
      taskOf({ topic: 't'.repeat(200) }),
      'unknown-version',
      Object.assign(new Error('"'.repeat(9_000)), { stack: '\u0000'.repeat(9_000) }),
      NOW,
    );
    const [first] = deadLetterWays(task, 'billing', worst, 'none');
    const { body, contentType } = task.delivery;
    const came = sizeOf({
      target: { queue: 'billing', lane: 'work' },
      id: 'order-7',
      type: 'order.placed',
      body,
      contentType,
      headers: task.delivery.headers,
    });
    expect(sizeOf(copied(first)) - came).toBeLessThan(8 * 1024);
  });

  it('are fewer where there is no stack or no error to lose', () => {
    const { error: _, ...errorless } = bookkeeping;
    expect(deadLetterWays(task, 'billing', errorless, 'none')).toHaveLength(2);
    const stackless = { ...errorless, error: { name: 'E', message: 'm' } };
    expect(deadLetterWays(task, 'billing', stackless, 'none')).toHaveLength(3);
  });

  it('are tried one after the other only where one is too large', () => {
    expect(isTooLarge(new WaybillError('TOO_LARGE', 'x'))).toBe(true);
    expect(isTooLarge(new WaybillError('UNAVAILABLE', 'x'))).toBe(false);
    expect(isTooLarge(new Error('TOO_LARGE'))).toBe(false);
  });
});
