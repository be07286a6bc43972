import { expect } from 'vitest';

import { eventually } from '../../src/index.ts';
import { Noted, notes } from './contracts.ts';
import { missing, onBothVersions, openBus } from './kit.ts';
import { expectEmpty, heldBy, idsOf, ready, start, steps, warmUp } from './worker-kit.ts';

onBothVersions(({ test, broker }) => {
  test('what a killed process was handling is handled by another, its attempt repeated and marked', async () => {
    const bus = openBus(broker().url, { uses: [notes] });
    const orders = { consume: { concurrency: 10, retry: { delaysMs: [200, 200], jitter: 0 } } };
    const first = await ready(start(broker(), bus, orders));
    await warmUp(bus, first);
    const ids = Array.from({ length: 30 }, (_, n) => `m${n}`);
    await Promise.all(ids.map((id, n) => bus.publish(Noted, { n, text: 'hold' }, { id })));
    await eventually(() => expect(heldBy(first)).toMatchObject({ held: 30, running: 10 }));
    const second = await ready(start(broker(), bus, orders));
    await first.kill();
    await second.send('open');
    await eventually(() => expect(idsOf(steps(second, 'succeeded')).toSorted()).toEqual(ids.toSorted()));
    expect(steps(second, 'started').filter(({ attempt, redelivered }) => attempt !== 1 || !redelivered)).toEqual([]);
    expect(steps(first, 'succeeded')).toHaveLength(25);
    await expectEmpty(bus);
  });

  test('a process that is killed in attempt 2 has attempt 2 repeated', async () => {
    const bus = openBus(broker().url, { uses: [notes] });
    const orders = { consume: { retry: { delaysMs: [50], jitter: 0 } } };
    const first = await ready(start(broker(), bus, orders));
    await bus.publish(Noted, { n: 1, text: 'fail-then-hold' }, { id: 'm1' });
    await eventually(() => expect(steps(first, 'started').map(({ attempt }) => attempt)).toEqual([1, 2]));
    await first.kill();
    const second = await ready(start(broker(), bus, orders));
    await second.send('open');
    await eventually(() =>
      expect(steps(second, 'succeeded')).toMatchObject([{ id: 'm1', attempt: 2, redelivered: true }]),
    );
    await expectEmpty(bus);
  });

  test('a process that closes on SIGTERM makes no duplicates', async () => {
    const bus = openBus(broker().url, { uses: [notes] });
    const orders = { consume: { concurrency: 10 } };
    const workers = await Promise.all([ready(start(broker(), bus, orders)), ready(start(broker(), bus, orders))]);
    const [first, second] = workers;
    const ids = Array.from({ length: 600 }, (_, n) => `m${n}`);
    const publishing = Promise.all(ids.map((id, n) => bus.publish(Noted, { n, text: 'slow' }, { id })));
    await eventually(() => expect(steps(first, 'succeeded').length).toBeGreaterThan(50), { everyMs: 5 });
    expect(await first.kill('SIGTERM')).toMatchObject({ code: 0, signal: null });
    await publishing;
    const handled = (): readonly string[] => workers.flatMap((worker) => idsOf(steps(worker, 'succeeded')));
    await eventually(() => expect(missing(ids, handled())).toEqual([]));
    await expectEmpty(bus);
    expect(handled().toSorted()).toEqual(ids.toSorted());
    expect(workers.flatMap((worker) => idsOf(steps(worker, 'started'))).toSorted()).toEqual(ids.toSorted());
    expect(steps(second, 'succeeded').length).toBeGreaterThan(50);
  });

  test('a process that was frozen drops what it held and goes on', { timeout: 60_000 }, async () => {
    const bus = openBus(broker().url, { uses: [notes] });
    const orders = { heartbeatSeconds: 1, consume: { concurrency: 10, retry: { delaysMs: [100], jitter: 0 } } };
    const frozen = await ready(start(broker(), bus, orders));
    await warmUp(bus, frozen);
    // Late, some succeed, some fail (a copy), some reject (a letter), some do not listen to their signal.
    const texts = ['hold', 'hold-fail', 'hold-reject', 'hold-deaf'];
    const ids = Array.from({ length: 20 }, (_, n) => `m${n}`);
    for (const [n, id] of ids.entries()) await bus.publish(Noted, { n, text: texts[n % 4] ?? 'hold' }, { id });
    await eventually(() => expect(heldBy(frozen)).toMatchObject({ held: 20, running: 10 }));
    process.kill(frozen.pid, 'SIGSTOP');
    const other = await ready(start(broker(), bus, { ...orders, lenient: true }));
    await other.send('open');
    await eventually(() => expect(idsOf(steps(other, 'succeeded')).toSorted()).toEqual(ids.toSorted()), {
      withinMs: 30_000,
    });
    expect(steps(other, 'started').filter(({ attempt, redelivered }) => attempt !== 1 || !redelivered)).toEqual([]);
    await expectEmpty(bus);
    const startedBefore = steps(frozen, 'started').length;
    const wokenAt = Date.now();
    process.kill(frozen.pid, 'SIGCONT');
    const running = idsOf(steps(frozen, 'started').slice(25));
    expect(running).toHaveLength(10);
    await eventually(() => expect(idsOf(steps(frozen, 'aborted')).toSorted()).toEqual(running.toSorted()), {
      withinMs: 5_000,
    });
    expect(Math.max(...steps(frozen, 'aborted').map(({ at }) => at)) - wokenAt).toBeLessThan(5_000);
    await frozen.send('open');
    await eventually(() => expect(steps(frozen, 'succeeded').length + steps(frozen, 'failed').length).toBe(25 + 10));
    // It consumes again: what is published now is shared, and only that.
    await other.kill('SIGTERM');
    const later = Array.from({ length: 10 }, (_, n) => `later${n}`);
    await Promise.all(later.map((id, n) => bus.publish(Noted, { n: 100 + n }, { id })));
    await eventually(() => expect(missing(later, idsOf(steps(frozen, 'succeeded')))).toEqual([]), { withinMs: 15_000 });
    // A copy of a late failure would have come by now: its delay is 100 ms.
    await expectSteadily(3_000, async () => {
      expect(idsOf(steps(frozen, 'started').slice(startedBefore)).toSorted()).toEqual(later.toSorted());
      expect(await bus.depth(notes)).toMatchObject({ ready: 0, deadLettered: 0 });
    });
    expect(idsOf(steps(other, 'started')).toSorted()).toEqual(ids.toSorted());
  });
});

/** Checks for so long, all the time: what must not happen does not happen. */
async function expectSteadily(forMs: number, check: () => Promise<void>): Promise<void> {
  for (const until = Date.now() + forMs; Date.now() < until;) {
    await check();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
