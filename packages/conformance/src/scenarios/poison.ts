import { defineEvent, defineQueue, type Middleware, type OutgoingMessage } from '@waybill/core';
import { z } from 'zod';
import { desk } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import {
  allAtOnce,
  cloudEvent,
  foreign,
  LetterOutage,
  lettersOnceThere,
  sameBodies,
  stillTheLetters,
} from './dead-letter-helpers.ts';
import { UNDECODABLE, UNFIT } from './poison-bodies.ts';
import { allHandled, emptied, publishNotes, range, reportsOf } from './retry-helpers.ts';

const plain = z.object({ n: z.number() });
/** Throws for 6 and rejects for 3, as no schema is meant to. */
const throwing: Pick<typeof plain, '~standard'> = {
  '~standard': {
    ...plain['~standard'],
    validate(value) {
      const { n } = value as { readonly n: number };
      if (n === 6) throw new Error('the schema throws');
      return n === 3 ? Promise.reject(new Error('the schema rejects')) : plain['~standard'].validate(value);
    },
  },
};
const Touchy = defineEvent('conformance.touchy', plain, { topic: 'touched' }).evolve(throwing, ({ n }) => {
  if (n === 2) throw new Error('the upcast throws');
  return { n };
});
const touchy = defineQueue('touchy', { handles: [Touchy] });

export const poison: readonly Scenario[] = [
  {
    id: 'poison-undecodable',
    guarantee: 'poison',
    sentence:
      'what is no CloudEvent is a dead letter `undecodable` at once, with its bytes, and the good messages around it are handled',
    needs: ['admin'],
    deadlineMs: 40_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      for (const [index, broken] of UNDECODABLE.entries()) {
        await publishNotes(bus, [index]);
        await bus.dispatch([foreign(kit, desk, { id: `broken-${index}`, ...broken })]);
      }
      const numbers = range(0, UNDECODABLE.length);
      await kit.worker({ queue: 'desk' });
      await allHandled(kit, numbers, 15_000);
      const letters = await lettersOnceThere(kit, bus, desk, { count: UNDECODABLE.length, withinMs: 15_000 });
      kit.check(
        letters.every(
          ({ reason, attempts, error }) => reason === 'undecodable' && attempts === 1 && error !== undefined,
        ),
        `all are undecodable at attempt 1: ${letters.map(({ reason }) => reason).join(', ')}`,
      );
      sameBodies(
        kit,
        letters,
        UNDECODABLE.map(({ body }) => body),
      );
      kit.same(reportsOf(kit, 'started').length, numbers.length, 'handlers ran only for the good ones');
      await emptied(kit, bus, desk);
      await stillTheLetters(kit, bus, desk, letters);
    },
  },
  {
    id: 'poison-invalid',
    guarantee: 'poison',
    sentence:
      'data that does not fit its schema, or makes a schema or upcast throw, is a dead letter `invalid` that no handler saw',
    needs: ['admin'],
    deadlineMs: 40_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: [desk, touchy] });
      const seen: number[] = [];
      const see = ({ n }: { n: number }): void => void seen.push(n);
      await bus.consume(desk, { 'conformance.noted': see, 'conformance.work': see });
      await bus.consume(touchy, { 'conformance.touchy': see });
      const unfit = UNFIT.map((data, index) =>
        foreign(kit, desk, { id: `unfit-${index}`, body: cloudEvent({ id: `unfit-${index}`, data }) }),
      );
      await bus.dispatch([...unfit, ...touching(kit)]);
      await publishNotes(bus, range(10, 20));
      const letters = await lettersOnceThere(kit, bus, desk, { count: UNFIT.length, withinMs: 15_000 });
      const touched = await lettersOnceThere(kit, bus, touchy, { count: 3, withinMs: 15_000 });
      const both = [...letters, ...touched];
      allAtOnce(kit, both, 'invalid');
      kit.check(
        both.every(({ error }) => (error?.message ?? '') !== ''),
        'each says what does not fit',
      );
      await kit.eventually('the good ones are handled', () => seen.length >= 12, 15_000);
      kit.same(
        seen.toSorted((left, right) => left - right),
        [4, 5, ...range(10, 20)],
        'handlers ran only for the good ones',
        ['touchy-2', 'touchy-3', 'touchy-6'],
      );
      const down = kit.events.filter((event) => event.name === 'consumer' && event.error !== undefined);
      kit.same(down.length, 0, 'the consumers stayed up');
      await emptied(kit, bus, desk);
      await stillTheLetters(kit, bus, desk, letters);
    },
  },
  {
    id: 'poison-codec',
    guarantee: 'poison',
    sentence:
      'what the codec of the bus cannot undo, at once or later, is a dead letter `undecodable`, and the rest flows',
    needs: ['admin'],
    deadlineMs: 40_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ middleware: [MASK] });
      const seen = new Set<number>();
      const see = ({ n }: { n: number }): void => void seen.add(n);
      await bus.consume(desk, { 'conformance.noted': see, 'conformance.work': see });
      const broken = ['throws', 'rejects', 'garbage'].map((start, index) =>
        foreign(kit, desk, { id: `coded-${index}`, body: Buffer.from(`${start}…`) }),
      );
      for (const [index, message] of broken.entries()) {
        await publishNotes(bus, [index]);
        await bus.dispatch([message]);
      }
      await publishNotes(bus, range(3, 30));
      const letters = await lettersOnceThere(kit, bus, desk, { count: 3, withinMs: 15_000 });
      allAtOnce(kit, letters, 'undecodable');
      sameBodies(
        kit,
        letters,
        broken.map(({ body }) => body),
      );
      await kit.eventually('the good ones are handled', () => seen.size === 30, 15_000);
      await emptied(kit, bus, desk);
      await stillTheLetters(kit, bus, desk, letters);
    },
  },
  {
    id: 'poison-no-stall',
    guarantee: 'poison',
    sentence:
      'a head of poison whose letters cannot be stored stalls nothing: the good messages behind it are handled meanwhile',
    needs: ['admin'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const outage = new LetterOutage(kit);
      const bus = kit.bus({ seam: outage.seam });
      await bus.provision();
      const head = range(0, 30).map((index) =>
        foreign(kit, desk, { id: `head-${index}`, body: Buffer.from(`{${index}`) }),
      );
      await bus.dispatch(head);
      await publishNotes(bus, range(0, 100));
      await outage.begin(bus);
      const seen = new Set<number>();
      const see = ({ n }: { n: number }): void => void seen.add(n);
      await bus.consume(desk, { 'conformance.noted': see, 'conformance.work': see });
      await kit.eventually('all good ones are handled', () => seen.size === 100, 20_000);
      const settled = kit.history.entries.filter(
        ({ what, id }) => (what === 'accepted' || what === 'rejected') && !id.startsWith('note-'),
      );
      kit.same(
        settled.length,
        0,
        'nothing of the head is settled meanwhile',
        settled.map(({ id }) => id),
      );
      await outage.end(bus);
      const letters = await lettersOnceThere(kit, bus, desk, { count: 30, withinMs: 20_000 });
      sameBodies(
        kit,
        letters,
        head.map(({ body }) => body),
      );
      await emptied(kit, bus, desk);
      await stillTheLetters(kit, bus, desk, letters);
    },
  },
];

/** Version and number of what goes to the queue whose contract throws. */
function touching(kit: Kit): readonly OutgoingMessage[] {
  const cases = [
    [1, 2],
    [2, 3],
    [2, 4],
    [1, 5],
    [1, 6],
  ];
  return cases.map(([dataversion, n]) => {
    const [id, type] = [`touchy-${n}`, 'conformance.touchy'];
    return foreign(kit, touchy, { id, type, body: cloudEvent({ id, type, dataversion, data: { n } }) });
  });
}

/** Turns every byte around, and fails for what it did not write. */
const MASK: Middleware = {
  name: 'mask',
  codec: {
    encode: (body) => body.map((byte) => byte ^ 0xff),
    decode: (body) => {
      const text = Buffer.from(body).toString();
      if (text.startsWith('throws')) throw new Error('the codec throws');
      if (text.startsWith('rejects')) return Promise.reject(new Error('the codec rejects'));
      return body.map((byte) => byte ^ 0xff);
    },
  },
};
