import { expect } from 'vitest';

import { eventually } from '../../src/index.ts';
import { containerTest } from '../shared.ts';
import { consumingBus, describeBroker, RETRY, sometimes } from './broker-kit.ts';
import { archive, Noted, notes } from './contracts.ts';
import { codesOf, Gate, Journal, missing, openBus, sendMany, storedIds, takeIds } from './kit.ts';

describeBroker('current', (broker) => {
  containerTest(
    'blocked publishers wait, consumers go on, and nothing is lost once the alarm is over',
    { timeout: 60_000 },
    async () => {
      const { url } = broker();
      const journal = new Journal();
      const bus = openBus(url, { uses: [notes, archive], sendTimeoutMs: 30_000 });
      const before = await sendMany(300, 100, (n, id) => bus.publish(Noted, { n }, { id }));
      expect(codesOf(before)).toEqual({ stored: 300 });
      await broker().blockPublishers(true);
      try {
        const during = sendMany(100, 100, (n) => bus.publish(Noted, { n: 1_000 + n }, { id: `d${n}` }));
        const hasty = openBus(url, { prefix: bus.prefix, uses: [notes, archive], sendTimeoutMs: 800 });
        const refused = await sendMany(20, 20, (n) => hasty.publish(Noted, { n: 2_000 + n }, { id: `h${n}` }));
        expect(Object.keys(codesOf(refused)).filter((code) => !['UNAVAILABLE', 'TIMEOUT'].includes(code))).toEqual([]);
        expect(refused.filter(({ ms }) => ms > 1_300)).toEqual([]);
        await bus.consume(notes, { 'note.taken': journal.handler(sometimes) }, { concurrency: 16, retry: RETRY });
        // All but the eight whose copies for attempt 2 cannot be stored now.
        await eventually(() => expect(journal.succeeded).toHaveLength(292));
        await eventually(() => expect(bus.health()).toMatchObject({ consumers: [{ status: 'up', held: 8 }] }));
        expect(bus.health().publisher.pending).toBeGreaterThanOrEqual(100);
        await broker().blockPublishers(false);
        expect(codesOf(await during)).toEqual({ stored: 100 });
      } finally {
        await broker().blockPublishers(false);
      }
      await eventually(() => expect(journal.distinct.size).toBeGreaterThanOrEqual(400));
      const stored = await takeIds(url, `${bus.prefix}.archive`);
      const wanted = [...storedIds(before), ...Array.from({ length: 100 }, (_, n) => `d${n}`)];
      expect(missing(wanted, stored)).toEqual([]);
      await eventually(() => expect(missing(stored, journal.distinct)).toEqual([]));
      // The handler never ran again for a copy that could not be stored.
      for (let n = 0; n < 300; n += 40) expect(journal.of(n).map(({ attempt }) => attempt)).toEqual([1, 2]);
      await eventually(() => expect(bus.health()).toMatchObject({ status: 'up', publisher: { pending: 0 } }));
    },
  );

  containerTest('health does not say up while the broker blocks publishers', async () => {
    const bus = openBus(broker().url, { uses: [notes] });
    await bus.publish(Noted, { n: 0 });
    await broker().blockPublishers(true);
    try {
      const publishing = bus.publish(Noted, { n: 1 });
      await eventually(() => expect(bus.health().status).not.toBe('up'));
      await broker().blockPublishers(false);
      await publishing;
      await eventually(() => expect(bus.health().status).toBe('up'));
    } finally {
      await broker().blockPublishers(false);
    }
  });

  for (const [name, heartbeatSeconds] of [
    ['for less than a heartbeat', 30],
    ['until its heartbeats are missed', 1],
  ] as const) {
    containerTest(
      `a broker that hangs ${name} fails sends by their deadline and goes on`,
      { timeout: 60_000 },
      async () => {
        const journal = new Journal();
        const options = { sendTimeoutMs: 1_000, rabbitmq: { heartbeatSeconds, connectTimeoutMs: 2_000 } };
        const bus = await consumingBus(broker(), journal, options);
        const before = await sendMany(200, 100, (n, id) => bus.publish(Noted, { n }, { id }));
        expect(codesOf(before)).toEqual({ stored: 200 });
        await broker().pause();
        try {
          const hung = new Gate();
          setTimeout(() => hung.open(), 4_000);
          const during = await sendMany(100, 100, (n) => bus.publish(Noted, { n }, { id: `d${n}` }));
          expect(Object.keys(codesOf(during)).filter((code) => !['UNAVAILABLE', 'TIMEOUT'].includes(code))).toEqual([]);
          expect(during.map(({ ms }) => Math.round(ms)).filter((ms) => ms > 1_500)).toEqual([]);
          await hung.opened;
          if (heartbeatSeconds === 1) {
            await eventually(() =>
              expect(bus.health()).toMatchObject({ status: 'down', consumers: [{ status: 'down' }] }),
            );
          }
        } finally {
          await broker().unpause();
        }
        const after = await eventually(async () => {
          const outcomes = await sendMany(100, 100, (n) => bus.publish(Noted, { n }, { id: `a${n}` }));
          expect(codesOf(outcomes)).toEqual({ stored: 100 });
          return outcomes.map(({ id }) => id.replace('m', 'a'));
        });
        await eventually(() => expect(missing([...storedIds(before), ...after], journal.distinct)).toEqual([]));
        await eventually(() => expect(bus.health()).toMatchObject({ status: 'up', publisher: { pending: 0 } }));
        const stored = await takeIds(broker().url, `${bus.prefix}.archive`);
        expect(missing([...storedIds(before), ...after], stored)).toEqual([]);
        await eventually(() => expect(missing(stored, journal.distinct)).toEqual([]));
      },
    );
  }
});
