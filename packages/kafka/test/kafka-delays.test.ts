import type { Queue } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import { delayTopicOf, delayTopics, ownTopics, workTopics } from '../src/kafka-delays.ts';

const LONGEST_DELAY_MS = 3_600_000;

const orders = { name: 'orders', keyed: false };
const queue: Queue = {
  name: 'billing',
  ordered: false,
  bindings: [
    { topic: orders, types: ['a'] },
    { topic: { name: 'refunds', keyed: false }, types: ['b'] },
    { topic: orders, types: ['c'] },
  ],
};
const DELAYS = ['billing.delay.1h', 'billing.delay.5m', 'billing.delay.30s', 'billing.delay.5s', 'billing.delay.1s'];

describe('delay topics', () => {
  test.each([
    [-5, '1s'],
    [1, '1s'],
    [4_999, '1s'],
    [5_000, '5s'],
    [29_999, '5s'],
    [30_000, '30s'],
    [299_999, '30s'],
    [300_000, '5m'],
    [3_599_999, '5m'],
    [3_600_000, '1h'],
    [LONGEST_DELAY_MS, '1h'],
  ])('a delay of %i ms waits in %s', (delayMs, step) => {
    expect(delayTopicOf('billing', delayMs)).toBe(`billing.delay.${step}`);
  });

  test('every delay waits in one of them', () => {
    expect(delayTopics('billing')).toEqual(DELAYS);
    for (let delayMs = 1; delayMs < LONGEST_DELAY_MS; delayMs += 997) {
      expect(DELAYS).toContain(delayTopicOf('billing', delayMs));
    }
  });
});

describe('topics of a queue', () => {
  test('its work is in the topics it is bound to, each once, its own and its delay topics', () => {
    expect(workTopics(queue)).toEqual(['orders', 'refunds', 'billing.delay.0s', ...DELAYS]);
  });

  test('those of others are not its own', () => {
    expect(ownTopics('billing')).toEqual(['billing.delay.0s', ...DELAYS, 'billing.dead']);
  });
});
