import type { Bus } from '@waybill/core';
import { Filed, Moved, Noted } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { digest } from './dead-letter-helpers.ts';
import { comparable, HALF_PAIR, METADATA, REFUSED } from './fidelity-metadata.ts';
import { Anything, BYTES, Later, LEFT, someBytes, VALUES } from './fidelity-values.ts';
import { type Arrival, Arrivals, crossed, ENVELOPES, type Envelope, Wire, writes } from './fidelity-wire.ts';

/** The core keeps this much of the broker's limit for its bookkeeping. */
const BOOKKEEPING_ROOM = 8 * 1024;

export const fidelity: readonly Scenario[] = [
  {
    id: 'fidelity-bodies',
    guarantee: 'fidelity',
    sentence:
      'JSON arrives as it was published, in both envelopes and read by buses of either: all Unicode, halves of surrogate pairs, control characters, edges of numbers',
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const { wire, writers, readers } = await crossed(kit);
      const values = ENVELOPES.flatMap((envelope) =>
        VALUES.map((value, index) => ({ envelope, value, id: `${envelope}-${index}` })),
      );
      await Promise.all(values.map(({ envelope, value, id }) => writers[envelope].publish(Anything, value, { id })));
      const byId = new Map(values.map(({ id, value }) => [id, JSON.stringify(value)]));
      for (const reader of readers) {
        await reader.arrived(kit, [...byId.keys()]);
        for (const { id, data } of reader.all) {
          const came = JSON.stringify(data);
          kit.check(came === byId.get(id), `${id} is ${short(byId.get(id))}, not ${short(came)}`, [id]);
        }
        reader.checkBytes(kit, wire);
      }
    },
  },
  {
    id: 'fidelity-bytes',
    guarantee: 'fidelity',
    sentence:
      'bytes arrive byte for byte in both envelopes: every value, none at all, parts of larger buffers, and a buffer that is used again after publish was called',
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const { wire, writers, readers } = await crossed(kit);
      const expected = new Map<string, string>();
      const stored: Promise<void>[] = [];
      const again = new Uint8Array(64);
      for (const envelope of ENVELOPES) {
        const publish = (bytes: Uint8Array<ArrayBuffer>, id: string): void => {
          expected.set(id, digest(bytes));
          stored.push(writers[envelope].publish(Filed, bytes, { id }));
        };
        for (const [index, bytes] of BYTES.entries()) publish(bytes, `${envelope}-${index}`);
        for (const value of [1, 2, 3]) publish(again.fill(value), `${envelope}-again-${value}`);
        again.fill(0xff);
      }
      await Promise.all(stored);
      for (const reader of readers) {
        await reader.arrived(kit, [...expected.keys()]);
        for (const { id, data } of reader.all) {
          kit.check(data instanceof Uint8Array, `${id} is bytes, not ${typeof data}`, [id]);
          kit.same(digest(data), expected.get(id), `the bytes of ${id}, of which ${data.length} came`, [id]);
        }
        reader.checkBytes(kit, wire);
      }
    },
  },
  {
    id: 'fidelity-metadata',
    guarantee: 'fidelity',
    sentence:
      'metadata arrives as it was given, in both envelopes: ids of 96 characters, Unicode keys and correlation ids, trace context, extensions, times to the ms',
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const { writers, readers } = await crossed(kit);
      const from = Date.now();
      const expected = new Map<string, unknown>();
      const hasBinary = writes(kit, 'binary');
      const carriedIn = (id: string): Envelope => (hasBinary && id.startsWith('!') ? 'binary' : 'structured');
      for (const envelope of ENVELOPES) {
        for (const { id: name, key, ...options } of METADATA) {
          // One character of the id tells the envelopes apart.
          const id = `${envelope === 'binary' ? '!' : '~'}${name}`;
          const own = { source: '/conformance', version: 1, correlationId: id, ...(key === undefined ? {} : { key }) };
          expected.set(id, comparable({ ...own, ...options, id }, carriedIn(id)));
          const publishing =
            key === undefined
              ? writers[envelope].publish(Noted, { n: 1 }, { ...options, id })
              : writers[envelope].publish(Moved, { entity: key, sequence: 1 }, { ...options, id });
          if (name === HALF_PAIR && carriedIn(id) === 'binary') {
            await kit.rejects(publishing, 'INVALID_MESSAGE', 'half a surrogate pair in a header');
            expected.delete(id);
          } else await publishing;
        }
      }
      const until = Date.now();
      for (const reader of readers) {
        await reader.arrived(kit, [...expected.keys()]);
        for (const { id, metadata } of reader.all) {
          kit.same(comparable(metadata, carriedIn(id)), expected.get(id), `the metadata of ${id}`, [id]);
          const time = Date.parse(metadata.time);
          kit.check(time >= from && time <= until, `the time of ${id} is to the ms: ${metadata.time}`, [id]);
        }
      }
    },
  },
  {
    id: 'fidelity-largest',
    guarantee: 'fidelity',
    sentence:
      'the largest message that publish accepts arrives whole; one byte more is TOO_LARGE before anything is sent, and never arrives',
    deadlineMs: 90_000,
    quick: true,
    async run(kit: Kit) {
      const wire = new Wire();
      const reading = kit.bus({ uses: [LEFT], driver: { envelope: 'binary' } });
      const reader = new Arrivals();
      await reader.consumeLeft(reading);
      const sizes = new Map<string, number>();
      for (const envelope of ENVELOPES) {
        const bus = kit.bus({ uses: [LEFT], driver: { envelope }, seam: wire.seam });
        const [most, more] = [`${envelope}-most`, `${envelope}-more`];
        const text = await atTheLimit(kit, bus, most);
        await kit.rejects(
          bus.publish(Anything, `${text}x`, { id: more }),
          'TOO_LARGE',
          'one byte more than the largest',
        );
        await bus.publish(Anything, text, { id: most });
        sizes.set(most, text.length);
      }
      kit.same(wire.ids, [...sizes.keys()].toSorted(), 'what is sent');
      await reader.arrived(kit, [...sizes.keys()], 30_000);
      kit.same(reader.ids, wire.ids, 'what arrives');
      for (const { id, data } of reader.all)
        kit.same((data as string).length, sizes.get(id), `the size of ${id}`, [id]);
      reader.checkBytes(kit, wire);
    },
  },
  {
    id: 'fidelity-copies',
    guarantee: 'fidelity',
    sentence:
      'delays, hops, retries, dead letters and redrives move the bytes and metadata of a message unchanged, in both envelopes',
    needs: ['delay', 'admin'],
    deadlineMs: 90_000,
    quick: true,
    async run(kit: Kit) {
      const wire = new Wire();
      const make = (envelope: Envelope): Bus =>
        kit.bus({ uses: [LEFT], driver: { envelope, maxDelayMs: 1_000 }, seam: wire.seam });
      const state = { redriven: false };
      const reader = new Arrivals(() => {
        if (!state.redriven) throw new Error('told to fail');
      });
      const reading = make('structured');
      await reader.consumeLeft(reading);
      const extensions = { tenant: 'größte 😀' };
      for (const envelope of ENVELOPES) {
        const bus = make(envelope);
        const options = (name: string): { id: string; extensions: typeof extensions } => ({
          id: `${envelope}-${name}`,
          extensions,
        });
        await Promise.all([
          bus.publish(Filed, someBytes(3_000), options('bytes')),
          bus.publish(Filed, new Uint8Array(0), options('none')),
          bus.publish(Anything, VALUES, options('json')),
          bus.send(LEFT, Later, someBytes(500), { ...options('later'), delayMs: 1_300 }),
        ]);
      }
      const { ids } = wire;
      const twice = (): boolean => ids.every((id) => reader.all.filter((each) => each.id === id).length >= 2);
      await kit.eventually('all failed twice', () => twice() || deadOf(kit) >= ids.length, 12_000);
      await kit.eventually('all are dead letters', () => deadOf(kit) >= ids.length, 5_000);
      const letters = await kit.letters(reading, LEFT);
      for (const { id, delivery } of letters)
        kit.same(digest(delivery.body), wire.sent.get(id), `the bytes of letter ${id}`, [id]);
      kit.same(letters.map(({ id }) => id).toSorted(), ids, 'dead letters');
      state.redriven = true;
      const failed = reader.all.splice(0);
      await reading.redrive(LEFT);
      await kit.eventually('all are handled', () => reader.ids.length === ids.length, 10_000);
      sameMessages(kit, [...failed, ...reader.all]);
      reader.checkBytes(kit, wire);
    },
  },
  {
    id: 'fidelity-refused',
    guarantee: 'fidelity',
    sentence:
      'what is refused as INVALID_MESSAGE or INVALID_ARGUMENT is never sent and never arrives; the valid ones beside it do',
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const { wire, writers, readers } = await crossed(kit);
      const good: string[] = [];
      const work: Promise<unknown>[] = [];
      for (const envelope of ENVELOPES) {
        const bus = writers[envelope];
        for (const [code, what, publish] of REFUSED) {
          const id = `${envelope}-${good.length}`;
          good.push(id);
          work.push(
            bus.publish(Noted, { n: good.length }, { id }),
            kit.rejects(publish(bus), code, `${what}, ${envelope}`),
          );
        }
      }
      await Promise.all(work);
      // Behind the others on every topic that they would have gone to.
      await Promise.all([
        writers.structured.publish(Anything, 'last', { id: 'last-anything' }),
        writers.structured.publish(Moved, { entity: 'a', sequence: 1 }, { id: 'last-moved' }),
        writers.structured.publish(Noted, { n: 0 }, { id: 'last-noted' }),
      ]);
      const ids = [...good, 'last-anything', 'last-moved', 'last-noted'].toSorted();
      kit.same(wire.ids, ids, 'what is sent');
      for (const reader of readers) {
        await reader.arrived(kit, ids);
        kit.same(reader.ids, ids, 'what arrives');
      }
    },
  },
];

const short = (json: string | undefined): string => JSON.stringify(json?.slice(0, 100)) ?? 'nothing';

/** How many messages were given up. */
function deadOf({ events }: Kit): number {
  return events.filter(({ name }) => name === 'dead-lettered').length;
}

/** Text that makes a message exactly as large as this bus publishes. Most of its characters take two bytes. */
async function atTheLimit(kit: Kit, bus: Bus, id: string): Promise<string> {
  const { body, type, contentType, headers } = await bus.prepare(Anything, '', { id });
  const beside = [id, type, contentType, ...Object.entries(headers).flat()].join('');
  const room = kit.capabilities.maxMessageBytes - BOOKKEEPING_ROOM - body.length - Buffer.byteLength(beside);
  return 'é'.repeat(Math.floor(room / 2)) + 'x'.repeat(room % 2);
}

/** Every arrival of a message is the same message. */
function sameMessages(kit: Kit, arrivals: readonly Arrival[]): void {
  const first = new Map<string, Arrival>();
  for (const arrival of arrivals) {
    const { id, data, metadata } = arrival;
    const earlier = first.get(id) ?? arrival;
    first.set(id, earlier);
    kit.same(metadata, earlier.metadata, `the metadata of ${id}`, [id]);
    kit.same(data, earlier.data, `the data of ${id}`, [id]);
  }
}
