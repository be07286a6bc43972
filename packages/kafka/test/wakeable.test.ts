import { describe, expect, test } from 'vitest';
import { Wakeable } from '../src/client/wakeable.ts';

/** Whether it resolves without anything else happening. */
async function isResolved(waiting: Promise<void>): Promise<boolean> {
  let resolved = false;
  void waiting.then(() => (resolved = true));
  await new Promise(setImmediate);
  return resolved;
}

describe('wakeable', () => {
  test('waits for what comes', async () => {
    const wakeable = new Wakeable();
    const waiting = wakeable.wait(wakeable.count);
    expect(await isResolved(waiting)).toBe(false);
    wakeable.wake();
    expect(await isResolved(waiting)).toBe(true);
  });

  test('does not wait for what came between looking and waiting', async () => {
    const wakeable = new Wakeable();
    const seen = wakeable.count;
    wakeable.wake();
    expect(await isResolved(wakeable.wait(seen))).toBe(true);
    expect(await isResolved(wakeable.wait(wakeable.count))).toBe(false);
  });

  test('wakes all who wait, once', async () => {
    const wakeable = new Wakeable();
    const waiting = [1, 2, 3].map(() => wakeable.wait(wakeable.count));
    wakeable.wake();
    expect(await Promise.all(waiting.map(isResolved))).toEqual([true, true, true]);
    expect(await isResolved(wakeable.wait(wakeable.count))).toBe(false);
  });

  test('who waits again while it wakes waits for the next time', async () => {
    const wakeable = new Wakeable();
    let again: Promise<void> | undefined;
    const first = wakeable.wait(wakeable.count).then(() => {
      again = wakeable.wait(wakeable.count);
    });
    wakeable.wake();
    await first;
    expect(await isResolved(again as unknown as Promise<void>)).toBe(false);
  });
});
