import { expect } from 'vitest';

import { eventually, type Rabbitmq } from '../../src/index.ts';
import { containerTest } from '../shared.ts';
import { consumingBus, describeBroker } from './broker-kit.ts';
import { Noted, notes } from './contracts.ts';
import { codesOf, Journal, missing, openBus, outcomeOf, sendMany, statusesOf, storedIds, takeIds } from './kit.ts';

/** Publishes 2,500 with 250 in flight and has `fault` at the 600th; everything must be stored, handled and gone. */
async function expectNothingLost(broker: Rabbitmq, fault: () => Promise<void>): Promise<void> {
  const journal = new Journal();
  const bus = await consumingBus(broker, journal, { sendTimeoutMs: 40_000 });
  let faulted: Promise<void> | undefined;
  const outcomes = await sendMany(
    2_500,
    250,
    (n, id) => bus.publish(Noted, { n }, { id }),
    (done) => {
      if (done === 600) faulted = fault();
    },
  );
  await faulted;
  expect(codesOf(outcomes)).toEqual({ stored: 2_500 });
  await eventually(() => expect(missing(storedIds(outcomes), journal.distinct)).toEqual([]), { withinMs: 20_000 });
  expect(statusesOf(bus)).toContain('down');
  await eventually(() => expect(bus.health()).toMatchObject({ status: 'up', publisher: { pending: 0 } }));
  await eventually(async () => expect(await bus.depth(notes)).toMatchObject({ ready: 0, deadLettered: 0 }));
  const stored = await takeIds(broker.url, `${bus.prefix}.archive`);
  expect(missing(storedIds(outcomes), stored)).toEqual([]);
  // A crash repeats an attempt and counts none.
  expect(journal.runs.filter(({ attempt }) => attempt > 2)).toEqual([]);
}

async function killAndStart(broker: Rabbitmq): Promise<void> {
  await broker.kill();
  await broker.start();
}

describeBroker('old', (broker) => {
  containerTest(
    'a broker that is killed in the middle of publishing and handling loses nothing',
    { timeout: 90_000 },
    async () => {
      await expectNothingLost(broker(), () => killAndStart(broker()));
    },
  );
});

describeBroker('current', (broker) => {
  containerTest(
    'a broker that is killed in the middle of publishing and handling loses nothing',
    { timeout: 90_000 },
    async () => {
      await expectNothingLost(broker(), () => killAndStart(broker()));
    },
  );

  containerTest(
    'a broker that is stopped in good order and started again loses nothing',
    { timeout: 90_000 },
    async () => {
      await expectNothingLost(broker(), () => broker().restart());
    },
  );

  containerTest(
    'a broker that is down at start is waited for, by consume as by publish',
    { timeout: 60_000 },
    async () => {
      const { url } = broker();
      await broker().kill();
      const journal = new Journal();
      const bus = openBus(url, { uses: [notes], sendTimeoutMs: 30_000 });
      const consuming = bus.consume(notes, { 'note.taken': journal.handler() });
      const publishing = Promise.all([0, 1, 2].map((n) => bus.publish(Noted, { n }, { id: `m${n}` })));
      const hasty = openBus(url, { prefix: bus.prefix, uses: [notes], sendTimeoutMs: 700 });
      const refused = await outcomeOf('hasty', () => hasty.publish(Noted, { n: 9 }, { id: 'hasty' }));
      expect(refused).toMatchObject({ stored: false, code: 'UNAVAILABLE' });
      expect(refused.ms).toBeGreaterThanOrEqual(690);
      expect(refused.ms).toBeLessThan(1_200);
      const aborted = hasty.consume(notes, { 'note.taken': () => undefined }, { signal: AbortSignal.timeout(300) });
      await expect(aborted).rejects.toMatchObject({ name: 'TimeoutError' });
      expect(bus.health()).toMatchObject({ status: 'down', publisher: { pending: 3 } });
      await broker().start();
      await publishing;
      await consuming;
      await eventually(() => expect(journal.succeeded.toSorted()).toEqual(['m0', 'm1', 'm2']));
      await eventually(() => expect(bus.health()).toMatchObject({ status: 'up', publisher: { pending: 0 } }));
    },
  );
});
