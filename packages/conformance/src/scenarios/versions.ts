import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { cloudEvent, foreign, lettersOnceThere, outlined } from './dead-letter-helpers.ts';
import { emptied, range } from './retry-helpers.ts';
import {
  CountedV1,
  CountedV2,
  countsV1,
  countsV2,
  PricedV1,
  PricedV2,
  PricedV3,
  pricesPromoted,
  pricesV1,
  pricesV2,
  pricesV3,
  Reprice,
} from './versions-contracts.ts';

export const versions: readonly Scenario[] = [
  {
    id: 'versions-upcast-chain',
    guarantee: 'versions',
    sentence:
      'messages of older producers reach the handler as the latest version, each step validated, and keep the version they came with',
    deadlineMs: 30_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: [pricesV3] });
      const got = new Map<string, unknown>();
      await bus.consume(pricesV3, {
        'conformance.priced': (data, { metadata }) => void got.set(metadata.id, [metadata.version, data]),
      });
      const oldest = kit.bus({ uses: [PricedV1] });
      const middle = kit.bus({ uses: [PricedV2] });
      await oldest.publish(PricedV1, { sku: 'a', price: '12' }, { id: 'first' });
      await middle.publish(PricedV2, { sku: 'b', cents: 7, currency: 'usd' }, { id: 'second' });
      await bus.publish(PricedV3, { sku: 'c', amount: { cents: 5, currency: 'EUR' } }, { id: 'third' });
      const body = cloudEvent({
        id: 'foreign',
        type: 'conformance.priced',
        dataschema: 'https://schemas.example/priced/2',
        data: { sku: 'd', cents: 1, currency: 'eur' },
      });
      await bus.dispatch([foreign(kit, pricesV3, { id: 'foreign', type: 'conformance.priced', body })]);
      await kit.eventually('all are handled', () => got.size === 4, 15_000);
      const upcast = (version: number, sku: string, cents: number, currency = 'EUR'): unknown => [
        version,
        { sku, amount: { cents, currency }, region: 'EU' },
      ];
      kit.same(got.get('first'), upcast(1, 'a', 1_200), 'version 1 goes through two upcasts', ['first']);
      kit.same(got.get('second'), upcast(2, 'b', 7, 'USD'), 'version 2 goes through one', ['second']);
      kit.same(got.get('third'), upcast(3, 'c', 5), 'version 3 is only validated', ['third']);
      kit.same(got.get('foreign'), upcast(2, 'd', 1), "others' schema names tell the version too", ['foreign']);
    },
  },
  {
    id: 'versions-older-invalid',
    guarantee: 'versions',
    sentence:
      'older data that does not fit its own version, or the next one after its upcast, is a dead letter `invalid` that no handler saw',
    deadlineMs: 30_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: [pricesV3] });
      const seen: string[] = [];
      await bus.consume(pricesV3, { 'conformance.priced': ({ sku }) => void seen.push(sku) });
      const oldest = kit.bus({ uses: [PricedV1] });
      await kit.rejects(
        oldest.publish(PricedV1, { sku: 'a', price: 'dear' }),
        'INVALID_MESSAGE',
        'data that does not fit is not published',
      );
      const send = (id: string, dataversion: number, data: unknown): Promise<void> =>
        bus.dispatch([
          foreign(kit, pricesV3, {
            id,
            type: 'conformance.priced',
            body: cloudEvent({ id, type: 'conformance.priced', dataversion, data }),
          }),
        ]);
      await send('own', 1, { sku: 'a', price: 'dear' });
      await oldest.publish(PricedV1, { sku: 'b', price: '99999' }, { id: 'next' });
      await send('last', 2, { sku: 'c', cents: 1, currency: 'chf' });
      await oldest.publish(PricedV1, { sku: 'good', price: '1' }, { id: 'good' });
      const letters = await lettersOnceThere(kit, bus, pricesV3, { count: 3, withinMs: 15_000 });
      kit.same(
        outlined(letters),
        [
          ['last', 'invalid', 1],
          ['next', 'invalid', 1],
          ['own', 'invalid', 1],
        ],
        'each is a dead letter at once',
        ['own', 'next', 'last'],
      );
      await kit.eventually('the good one is handled', () => seen.length > 0);
      kit.same(seen, ['good'], 'the handler ran only for the good one', ['own', 'next', 'last', 'good']);
    },
  },
  {
    id: 'versions-newer-waits',
    guarantee: 'versions',
    sentence: 'a newer version or type waits, uncounted and through a cut, until a process that knows it takes it',
    needs: ['delay', 'admin'],
    faults: ['cut'],
    deadlineMs: 90_000,
    quick: true,
    async run(kit: Kit) {
      const newer = kit.bus({ uses: [pricesV2] });
      const older = kit.bus({ uses: [pricesV1] });
      await newer.provision();
      const seen: string[] = [];
      const outdated = await older.consume(pricesV1, { 'conformance.priced': ({ sku }) => void seen.push(sku) });
      for (const n of range(0, 10)) {
        await newer.publish(PricedV2, { sku: `newer-${n}`, cents: n, currency: 'eur' }, { id: `newer-${n}` });
        await newer.send(pricesV2, Reprice, { sku: `type-${n}` }, { id: `type-${n}` });
        await older.publish(PricedV1, { sku: `known-${n}`, price: '1' }, { id: `known-${n}` });
      }
      const waits = (): number =>
        new Set(kit.events.flatMap((event) => (event.name === 'waits' ? [event.id] : []))).size;
      await kit.eventually('all 20 wait', () => waits() === 20 && seen.length === 10, 20_000);
      await kit.faults.cut();
      await outdated.close();
      const taken = new Map<string, number>();
      const take = ({ sku }: { sku: string }, { attempt }: { attempt: number }): void => void taken.set(sku, attempt);
      await newer.consume(pricesV2, {
        'conformance.priced': take,
        'conformance.withdrawn': take,
        'conformance.reprice': take,
      });
      // What the older one had in hand at the cut may come to the newer one as well.
      const newerOnes = (): number => [...taken.keys()].filter((sku) => !sku.startsWith('known-')).length;
      await kit.eventually('the newer process handles all of them', () => newerOnes() === 20, 30_000);
      kit.check(
        [...taken.values()].every((attempt) => attempt === 1),
        'waiting counts no attempt',
        [...taken.keys()],
      );
      kit.same(
        seen.filter((sku) => !sku.startsWith('known-')),
        [],
        'the older handler saw none of them',
      );
      kit.same(await kit.letters(newer, pricesV2), [], 'none is a dead letter');
      await emptied(kit, newer, pricesV2);
    },
  },
  {
    id: 'versions-newer-ordered',
    guarantee: 'versions',
    sentence:
      'on an ordered queue a newer version is held for the retry schedule, then a dead letter; its successors run after it, other keys meanwhile',
    needs: ['ordering'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const newer = kit.bus({ uses: [countsV2] });
      const older = kit.bus({ uses: [countsV1] });
      await newer.provision();
      await newer.publish(CountedV2, { entity: 'skewed', sequence: 1 }, { id: 'skewed-1' });
      await older.publish(CountedV1, { entity: 'skewed', sequence: 2 }, { id: 'skewed-2' });
      await Promise.all(range(0, 10).map((n) => older.publish(CountedV1, { entity: `other-${n}`, sequence: 1 })));
      const seen: { readonly entity: string; readonly sequence: number; readonly at: number }[] = [];
      const startedAt = Date.now();
      await older.consume(
        countsV1,
        { 'conformance.counted': (data) => void seen.push({ ...data, at: Date.now() }) },
        { retry: { delaysMs: [1_500, 1_500] } },
      );
      const [letter] = await lettersOnceThere(kit, older, countsV1, { count: 1, withinMs: 25_000 });
      await kit.eventually('all others are handled', () => seen.length === 11, 15_000);
      kit.same([letter?.id, letter?.reason], ['skewed-1', 'unknown-version'], 'the newer version is the dead letter', [
        'skewed-1',
      ]);
      const waited = (letter?.deadAt ?? 0) - startedAt;
      kit.check(waited >= 2_900, `it is held for both delays: ${waited} ms`, ['skewed-1']);
      const last = seen.at(-1);
      kit.same([last?.entity, last?.sequence], ['skewed', 2], 'its successor runs last', ['skewed-1', 'skewed-2']);
      kit.check(
        (last?.at ?? 0) >= (letter?.deadAt ?? Number.POSITIVE_INFINITY),
        'its successor runs once it is given up',
        ['skewed-1', 'skewed-2'],
      );
    },
  },
  {
    id: 'versions-verify-names-missing',
    guarantee: 'versions',
    sentence:
      "a process with provision 'verify' is refused at start, naming what its contracts lack on the broker, and creates nothing",
    needs: ['admin'],
    deadlineMs: 30_000,
    quick: true,
    async run(kit: Kit) {
      const handlers = { 'conformance.priced': ignore, 'conformance.withdrawn': ignore, 'conformance.reprice': ignore };
      const checking = kit.bus({ uses: [pricesV2], provision: 'verify' });
      for (const _ of range(0, 2)) {
        const refusal = await kit.rejects(checking.consume(pricesV2, handlers), 'NOT_FOUND', 'nothing is there yet');
        for (const name of ['prices', 'pricing'])
          kit.check(
            refusal.message.includes(`"${kit.prefix}.${name}"`),
            `the refusal names "${name}": ${refusal.message}`,
          );
      }
      await kit.rejects(
        checking.publish(PricedV2, { sku: 'a', cents: 1, currency: 'eur' }),
        'NOT_FOUND',
        'publishing is refused as well',
      );
      await kit.bus({ uses: [pricesV2] }).provision('create');
      await checking.consume(pricesV2, handlers);
      const promoting = kit.bus({ uses: [pricesPromoted], provision: 'verify' });
      const refusal = await kit.rejects(
        promoting.consume(pricesPromoted, { ...handlers, 'conformance.promoted': ignore }),
        'NOT_FOUND',
        'a binding is missing',
      );
      kit.check(
        refusal.message.includes(`"${kit.prefix}.promotions"`),
        `the refusal names the missing one: ${refusal.message}`,
      );
      kit.check(refusal.message.includes('provision('), 'the refusal says what would create it');
    },
  },
];

function ignore(): void {
  // Nothing to do with it.
}
