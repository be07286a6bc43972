import { describe, expect, test } from 'vitest';
import {
  delayRoute,
  duePattern,
  heldMs,
  LEVELS,
  levelName,
  levelPattern,
  LONGEST_DELAY_MS,
  STEP_MS,
} from '../src/rabbitmq-ladder.ts';

/** RabbitMQ's topic matching. */
function matches(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return words.length === 0;
  if (first === '#') return matches(rest, words) || (words.length > 0 && matches(pattern, words.slice(1)));
  return words.length > 0 && (first === '*' || first === words[0]) && matches(rest, words.slice(1));
}
const routes = (pattern: string, key: string): boolean => matches(pattern.split('.'), key.split('.'));

/** What the broker does with a message: how long it is held, and where it comes out. */
function travel(delayMs: number, queue: string): { readonly held: number; readonly visited: number } {
  const { exchange, routingKey } = delayRoute(delayMs, queue);
  let held = 0;
  let visited = 0;
  for (let level = Number(exchange.slice(-2)); level >= 0; level -= 1) {
    const holds = routes(levelPattern(level, 1), routingKey);
    expect(routes(levelPattern(level, 0), routingKey)).toBe(!holds);
    if (holds) {
      held += STEP_MS * 2 ** level;
      visited += 1;
    }
  }
  expect(routes(duePattern(queue), routingKey)).toBe(true);
  return { held, visited };
}

describe('ladder', () => {
  test('holds never less than asked, and at most a 16th, or 64 ms, or 1,024 ms more', () => {
    const delays = [
      1,
      63,
      64,
      65,
      500,
      999,
      1_000,
      1_023,
      1_024,
      1_025,
      5_000,
      16_383,
      16_385,
      30_000,
      300_000,
      86_400_000,
      LONGEST_DELAY_MS,
    ];
    for (let turn = 0; turn < 500; turn += 1) {
      delays.push(Math.ceil(Math.exp(Math.random() * Math.log(LONGEST_DELAY_MS))));
    }
    for (const delay of delays) {
      const { held } = travel(delay, 'billing');
      expect(held).toBe(heldMs(delay));
      expect(held).toBeGreaterThanOrEqual(delay);
      expect(held - delay).toBeLessThanOrEqual(Math.min(Math.max(delay / 16, STEP_MS), 1_024));
    }
  });

  test('short delays pass few levels', () => {
    for (let delay = 1; delay < 16_384; delay += 61) expect(travel(delay, 'q').visited).toBeLessThanOrEqual(5);
  });

  test('enters at the level of the highest bit', () => {
    expect(delayRoute(1, 'q').exchange).toBe('waybill.delay.00');
    expect(delayRoute(65, 'q').exchange).toBe('waybill.delay.01');
    expect(delayRoute(LONGEST_DELAY_MS, 'q').exchange).toBe(levelName(LEVELS - 1));
  });

  test('a queue gets its own only, whatever its name ends with', () => {
    const { routingKey } = delayRoute(1_000, 'eu.billing');
    expect(routes(duePattern('eu.billing'), routingKey)).toBe(true);
    expect(routes(duePattern('billing'), routingKey)).toBe(false);
    expect(routes(duePattern('eu'), routingKey)).toBe(false);
  });

  test('every routing key fits', () => {
    expect(delayRoute(LONGEST_DELAY_MS, `${'q'.repeat(50)}.dead`).routingKey.length).toBeLessThanOrEqual(255);
  });
});
