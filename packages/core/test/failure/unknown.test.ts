import { describe, expect, it } from 'vitest';
import { DEFAULT_UNKNOWN_FOR_MS, isUnknown, UNKNOWN_DELAY_MS, waitForNewer } from '../../src/failure/unknown.ts';
import { NOW } from './kit.ts';

describe('a message of an unknown type or version', () => {
  it('waits 5 s at a time, for 10 min by default', () => {
    expect([UNKNOWN_DELAY_MS, DEFAULT_UNKNOWN_FOR_MS]).toEqual([5_000, 600_000]);
  });

  it('remembers when it was first unknown and counts no attempt', () => {
    const first = waitForNewer({ attempt: 2, queue: 'billing' }, NOW, 600_000);
    expect(first).toEqual({ attempt: 2, queue: 'billing', unknownSince: NOW, hops: 1 });
    expect(waitForNewer(first as NonNullable<typeof first>, NOW + 5_000, 600_000)).toEqual({
      attempt: 2,
      queue: 'billing',
      unknownSince: NOW,
      hops: 2,
    });
  });

  it('waits no longer once its time is up', () => {
    const bookkeeping = { attempt: 1, queue: 'billing', unknownSince: NOW, hops: 3 };
    expect(waitForNewer(bookkeeping, NOW + 599_999, 600_000)).toMatchObject({ hops: 4 });
    expect(waitForNewer(bookkeeping, NOW + 600_000, 600_000)).toBeUndefined();
  });

  it('waits about as often as its time has 5 s', () => {
    let bookkeeping: Parameters<typeof waitForNewer>[0] | undefined = { attempt: 1, queue: 'billing' };
    let waits = 0;
    for (let now = NOW; bookkeeping !== undefined; now += UNKNOWN_DELAY_MS) {
      bookkeeping = waitForNewer(bookkeeping, now, DEFAULT_UNKNOWN_FOR_MS);
      if (bookkeeping !== undefined) waits += 1;
    }
    expect(waits).toBe(120);
  });

  it('does not wait at all where it is told so', () => {
    expect(waitForNewer({ attempt: 1, queue: 'billing' }, NOW, 0)).toBeUndefined();
  });

  it('is told by its reason', () => {
    expect(isUnknown('unknown-type') && isUnknown('unknown-version')).toBe(true);
    for (const reason of [
      'handler-failed',
      'rejected',
      'timed-out',
      'undecodable',
      'invalid',
      'crash-loop',
      'expired',
    ] as const) {
      expect(isUnknown(reason)).toBe(false);
    }
  });
});
