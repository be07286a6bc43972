import { setTimeout as sleep } from 'node:timers/promises';
import { cabinet, Filed } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { digest } from './dead-letter-helpers.ts';
import { Anything, someBytes } from './fidelity-values.ts';
import { Arrivals, crossed, ENVELOPES, Wire } from './fidelity-wire.ts';
import { range } from './retry-helpers.ts';

const COUNT = 60;
/** More than there can be before the last process is there: brokers differ in when a dead one's messages come back. */
const RETRIES = Array.from({ length: 20 }, () => 300);

export const fidelityFaults: readonly Scenario[] = [
  {
    id: 'fidelity-cut',
    guarantee: 'fidelity',
    sentence: 'large messages, of bytes and of text, that are in flight while connections are cut arrive intact',
    faults: ['cut'],
    deadlineMs: 90_000,
    quick: true,
    async run(kit: Kit) {
      const { wire, writers, readers } = await crossed(kit, () => sleep(10));
      const expected = new Map<string, string>();
      const publishes = range(0, COUNT).flatMap((n) =>
        ENVELOPES.map((envelope) => {
          const id = `${envelope}-${n}`;
          const bytes = someBytes(n * 2_500, n);
          const text = `${'ż😀'.repeat(n * 300)}${n}`;
          expected.set(id, digest(n % 2 === 0 ? bytes : Buffer.from(text)));
          return n % 2 === 0
            ? writers[envelope].publish(Filed, bytes, { id })
            : writers[envelope].publish(Anything, text, { id });
        }),
      );
      const published = Promise.allSettled(publishes);
      for (const count of [0, 30, 60, 90]) {
        await kit.eventually(`${count} arrived`, () => readers.every(({ ids }) => ids.length >= count), 20_000);
        await kit.faults.cut();
      }
      const failed = (await published).flatMap((each) => (each.status === 'rejected' ? [String(each.reason)] : []));
      kit.same(failed, [], 'publishes that failed');
      for (const reader of readers) {
        await reader.arrived(kit, [...expected.keys()], 30_000);
        for (const { id, data } of reader.all) {
          const bytes = typeof data === 'string' ? Buffer.from(data) : (data as Uint8Array);
          kit.same(digest(bytes), expected.get(id), `the data of ${id}, of which ${bytes.length} bytes came`, [id]);
        }
        reader.checkBytes(kit, wire);
      }
    },
  },
  {
    id: 'fidelity-killed',
    guarantee: 'fidelity',
    sentence:
      'bytes that were in hand when their process died, before or behind the copy of a retry, reach the next one intact',
    needs: ['delay', 'admin'],
    faults: ['kill-process'],
    deadlineMs: 90_000,
    quick: true,
    async run(kit: Kit) {
      const wire = new Wire();
      const uses = [Filed, cabinet] as const;
      const expected = new Map<string, string>();
      for (const envelope of ENVELOPES) {
        const bus = kit.bus({ uses, driver: { envelope }, seam: wire.seam });
        await bus.provision();
        await Promise.all(
          range(0, COUNT / 2).map((n) => {
            const id = `${envelope}-${n}`;
            const bytes = someBytes(n * 3_000, n);
            expected.set(id, digest(bytes));
            return bus.publish(Filed, bytes, { id });
          }),
        );
      }
      const program = {
        queue: 'cabinet',
        rules: [{ then: 'fail' }],
        options: { retry: { delaysMs: RETRIES } },
      } as const;
      for (const when of ['after', 'before'] as const) {
        const worker = await kit.worker(
          { ...program, diesAtCopy: { lane: 'work', count: 8, when } },
          { leaseMs: 10_000 },
        );
        await worker.ended;
      }
      const reader = new Arrivals(({ attempt, id }) => {
        if (attempt === 1 && id.endsWith('0')) throw new Error('told to fail at attempt 1');
      });
      await kit.bus({ uses }).consume(cabinet, { [Filed.type]: reader.handle }, { retry: { delaysMs: [100] } });
      await reader.arrived(kit, [...expected.keys()], 25_000);
      const retried = [...expected.keys()].filter((id) => id.endsWith('0'));
      const again = (): boolean => retried.every((id) => reader.all.some((each) => each.id === id && each.attempt > 1));
      await kit.eventually('what failed is retried', again, 15_000);
      for (const { id, data } of reader.all)
        kit.same(digest(data as Uint8Array), expected.get(id), `the bytes of ${id}`, [id]);
      reader.checkBytes(kit, wire);
    },
  },
];
