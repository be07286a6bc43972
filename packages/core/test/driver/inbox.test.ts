import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Inbox, WaybillError } from '../../src/driver/index.ts';

const never = new AbortController().signal;

/** Whether a promise is settled once everything that is due in this turn has run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(
    () => (settled = true),
    () => (settled = true),
  );
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

describe('receive', () => {
  it('gives what is there, in order', async () => {
    const inbox = new Inbox<number>();
    for (const item of [1, 2, 3]) inbox.push(item);
    expect(await inbox.receive(10, never)).toEqual([1, 2, 3]);
    expect(inbox.size).toBe(0);
  });

  it('gives at most max and keeps the rest', async () => {
    const inbox = new Inbox<number>();
    for (const item of [1, 2, 3]) inbox.push(item);
    expect(await inbox.receive(2, never)).toEqual([1, 2]);
    expect(inbox.size).toBe(1);
    expect(await inbox.receive(2, never)).toEqual([3]);
  });

  it('waits until there is something', async () => {
    const inbox = new Inbox<number>();
    const received = inbox.receive(10, never);
    expect(await isSettled(received)).toBe(false);
    inbox.push(1);
    expect(await received).toEqual([1]);
  });

  it('gathers everything that one turn pushes', async () => {
    const inbox = new Inbox<number>();
    const received = inbox.receive(10, never);
    for (const item of [1, 2, 3]) inbox.push(item);
    expect(await received).toEqual([1, 2, 3]);
  });

  it('gives a waiting receive at most max of what one turn pushes', async () => {
    const inbox = new Inbox<number>();
    const received = inbox.receive(2, never);
    for (const item of [1, 2, 3]) inbox.push(item);
    expect(await received).toEqual([1, 2]);
    expect(await inbox.receive(2, never)).toEqual([3]);
  });

  it('gives none once its signal aborts, and keeps what comes later', async () => {
    const inbox = new Inbox<number>();
    const stop = new AbortController();
    const received = inbox.receive(10, stop.signal);
    stop.abort();
    expect(await received).toEqual([]);
    inbox.push(1);
    expect(await inbox.receive(10, never)).toEqual([1]);
  });

  it('gives none when its signal has aborted before, and keeps what is there', async () => {
    const inbox = new Inbox<number>();
    inbox.push(1);
    expect(await inbox.receive(10, AbortSignal.abort())).toEqual([]);
    expect(inbox.size).toBe(1);
  });

  it('loses nothing when the abort comes in the turn of a push', async () => {
    const inbox = new Inbox<number>();
    const stop = new AbortController();
    const received = inbox.receive(10, stop.signal);
    inbox.push(1);
    stop.abort();
    expect(await received).toEqual([]);
    expect(await inbox.receive(10, never)).toEqual([1]);
  });

  it('leaves no listener on its signal', async () => {
    const inbox = new Inbox<number>();
    const stop = new AbortController();
    let listeners = 0;
    const { signal } = stop;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...parameters: Parameters<typeof add>) => ((listeners += 1), add(...parameters));
    signal.removeEventListener = (...parameters: Parameters<typeof remove>) => (
      (listeners -= 1),
      remove(...parameters)
    );
    for (let round = 0; round < 3; round += 1) {
      const received = inbox.receive(1, signal);
      inbox.push(round);
      await received;
    }
    const failed = inbox.receive(1, signal);
    inbox.fail(new Error('gone'));
    await expect(failed).rejects.toThrow('gone');
    expect(listeners).toBe(0);
  });

  it('refuses a second one that would wait', async () => {
    const inbox = new Inbox<number>();
    const first = inbox.receive(1, never);
    await expect(inbox.receive(1, never)).rejects.toThrow('receive is already waiting');
    inbox.push(1);
    expect(await first).toEqual([1]);
  });

  it('gives every item once and in order, whatever the turns and maxima', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 5 })),
        fc.integer({ min: 1, max: 4 }),
        async (bursts, max) => {
          const inbox = new Inbox<number>();
          const total = bursts.reduce((sum, burst) => sum + burst, 0);
          const received: number[] = [];
          const reading = (async () => {
            while (received.length < total) {
              const batch = await inbox.receive(max, never);
              expect(batch.length).toBeGreaterThan(0);
              expect(batch.length).toBeLessThanOrEqual(max);
              received.push(...batch);
            }
          })();
          let next = 0;
          for (const burst of bursts) {
            for (let index = 0; index < burst; index += 1) inbox.push(next++);
            await new Promise((resolve) => setImmediate(resolve));
          }
          await reading;
          expect(received).toEqual(Array.from({ length: total }, (_, index) => index));
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('fail', () => {
  it('rejects the waiting receive', async () => {
    const inbox = new Inbox<number>();
    const received = inbox.receive(1, never);
    const error = new WaybillError('UNAVAILABLE', 'the channel is gone');
    inbox.fail(error);
    await expect(received).rejects.toBe(error);
  });

  it('tells whether one waits', async () => {
    const inbox = new Inbox<number>();
    expect(inbox.waiting).toBe(false);
    const received = inbox.receive(1, new AbortController().signal);
    expect(inbox.waiting).toBe(true);
    inbox.fail(new Error('gone'));
    expect(inbox.waiting).toBe(false);
    await expect(received).rejects.toThrow('gone');
  });

  it('rejects the next receive, once', async () => {
    const inbox = new Inbox<number>();
    const error = new WaybillError('UNAVAILABLE', 'the channel is gone');
    inbox.fail(error);
    await expect(inbox.receive(1, never)).rejects.toBe(error);
    inbox.push(1);
    expect(await inbox.receive(1, never)).toEqual([1]);
  });

  it('is told before what was pushed earlier, which stays', async () => {
    const inbox = new Inbox<number>();
    inbox.push(1);
    inbox.fail(new Error('gone'));
    await expect(inbox.receive(1, never)).rejects.toThrow('gone');
    expect(await inbox.receive(1, never)).toEqual([1]);
  });
});

describe('clear', () => {
  it('takes out what nobody received', async () => {
    const inbox = new Inbox<number>();
    for (const item of [1, 2]) inbox.push(item);
    expect(inbox.clear()).toEqual([1, 2]);
    expect(inbox.size).toBe(0);
  });

  it('leaves a waiting receive waiting when it takes what the turn pushed', async () => {
    const inbox = new Inbox<number>();
    const received = inbox.receive(1, never);
    inbox.push(1);
    expect(inbox.clear()).toEqual([1]);
    expect(await isSettled(received)).toBe(false);
    inbox.push(2);
    expect(await received).toEqual([2]);
  });
});
