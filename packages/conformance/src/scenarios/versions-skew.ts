import type { Bus, Consumer } from '@waybill/core';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { cloudEvent, foreign, lettersOnceThere } from './dead-letter-helpers.ts';
import { EARLY_MS, emptied, range } from './retry-helpers.ts';
import { PricedV1, PricedV2, pricesPromoted, pricesV1, pricesV2, Weighed, Withdrawn } from './versions-contracts.ts';

const UNKNOWN_FOR_MS = 90_000;
const OPTIONS = { concurrency: 3, unknownForMs: UNKNOWN_FOR_MS } as const;

/** By type, reason and attempts. */
const UNKNOWN = { 'conformance.priced unknown-version 1': 20, 'conformance.withdrawn unknown-type 1': 20 } as const;

export const versionsSkew: readonly Scenario[] = [
  {
    id: 'rolling-skew',
    guarantee: 'versions',
    sentence:
      'in a rolling deploy newer versions and types wait for the newer process; without one they die of their reason, and a redrive saves them',
    needs: ['delay', 'admin'],
    deadlineMs: 180_000,
    async run(kit: Kit) {
      const skew = new Skew(kit);
      await skew.newer.provision();
      const old = await skew.consumeOld();
      const fresh = await skew.consumeNew();
      await skew.publishMixed();
      await kit.eventually('500 good ones are handled within 30 s', () => skew.known.size === 500, 30_000);
      const poison = await lettersOnceThere(kit, skew.older, pricesV1, { count: 11, withinMs: 15_000 });
      kit.same(
        countBy(poison, ({ reason }) => reason),
        { invalid: 5, undecodable: 6 },
        'poison dies at once, of its own reason',
      );
      await kit.eventually('the newer process handles 20 of each', () => skew.newerOnes('mixed') === 40, 80_000);
      kit.same(skew.waitingStrangers, [], 'what nobody handles does not wait for anybody', skew.waitingStrangers);
      const { length } = await kit.letters(skew.older, pricesV1);
      kit.same(length, 11, 'with a newer process alive nothing newer is a dead letter');
      await fresh.close();
      const sentAt = Date.now();
      await skew.publishNewer('late');
      const dead = await lettersOnceThere(kit, skew.older, pricesV1, { count: 51, withinMs: UNKNOWN_FOR_MS + 25_000 });
      const unknown = dead.filter(({ reason }) => reason.startsWith('unknown-'));
      const reasons = countBy(unknown, ({ type, reason, attempts }) => `${type} ${reason} ${attempts}`);
      kit.same(reasons, UNKNOWN, 'without one they die of their reason');
      const soonest = Math.min(...unknown.map(({ deadAt = 0 }) => deadAt)) - sentAt;
      kit.check(soonest >= UNKNOWN_FOR_MS - EARLY_MS, `none of them before ${UNKNOWN_FOR_MS} ms: ${soonest}`);
      await old.close();
      await skew.consumeNew();
      const { redriven } = await skew.newer.redrive(pricesV2, { where: ({ reason }) => reason.startsWith('unknown-') });
      await kit.eventually('the redriven ones are handled', () => skew.newerOnes('late') === 40, 20_000);
      kit.same([redriven, skew.strangers], [40, 0], 'all are redriven, and what nobody handles reached no handler');
      await skew.refusedWithoutBinding();
      await emptied(kit, skew.newer, pricesV2);
    },
  },
];

/** An older and a newer process on one queue, and what they handled. */
class Skew {
  readonly older: Bus;
  readonly newer: Bus;
  /** Of version 1, by whom ever. */
  readonly known: Set<string> = new Set();
  /** Types that nobody handles. */
  strangers = 0;
  readonly #kit: Kit;
  readonly #newer = new Set<string>();

  constructor(kit: Kit) {
    this.#kit = kit;
    this.older = kit.bus({ uses: [pricesV1] });
    this.newer = kit.bus({ uses: [pricesV2, Weighed] });
  }

  get waitingStrangers(): readonly string[] {
    return this.#kit.events.flatMap((event) =>
      event.name === 'waits' && event.type === Weighed.type ? [event.id] : [],
    );
  }

  newerOnes(start: string): number {
    return [...this.#newer].filter((sku) => sku.startsWith(start)).length;
  }

  consumeOld(): Promise<Consumer> {
    return this.older.consume(pricesV1, { 'conformance.priced': ({ sku }) => this.#see(sku) }, OPTIONS);
  }

  consumeNew(): Promise<Consumer> {
    const see = ({ sku }: { readonly sku: string }): void => this.#see(sku);
    return this.newer.consume(
      pricesV2,
      { 'conformance.priced': see, 'conformance.withdrawn': see, 'conformance.reprice': see },
      OPTIONS,
    );
  }

  /** 500 good ones, 20 of each newer one, 20 for nobody and 11 of poison, interleaved. */
  async publishMixed(): Promise<void> {
    const poison = this.#poison();
    for (const step of range(0, 20)) {
      await Promise.all([
        ...range(0, 25).map((n) => this.older.publish(PricedV1, { sku: `good-${step}-${n}`, price: '1' })),
        ...this.#newerPair('mixed', step),
        this.newer.publish(Weighed, { sku: `stranger-${step}` }),
        this.older.dispatch(poison.slice(step, step + 1)),
      ]);
    }
  }

  async publishNewer(start: string): Promise<void> {
    await Promise.all(range(0, 20).flatMap((n) => this.#newerPair(start, n)));
  }

  /** The same program, one contract later, where nothing may be created. */
  async refusedWithoutBinding(): Promise<void> {
    const ignore = (): void => undefined;
    const handlers = {
      'conformance.priced': ignore,
      'conformance.withdrawn': ignore,
      'conformance.reprice': ignore,
      'conformance.promoted': ignore,
    };
    const verifying = this.#kit.bus({ uses: [pricesPromoted], provision: 'verify' });
    const refusal = await this.#kit.rejects(
      verifying.consume(pricesPromoted, handlers),
      'NOT_FOUND',
      'a binding is missing',
    );
    this.#kit.check(
      refusal.message.includes(`"${this.#kit.prefix}.promotions"`),
      `the refusal names what is missing: ${refusal.message}`,
    );
  }

  #see(sku: string): void {
    if (sku.startsWith('stranger')) this.strangers += 1;
    else if (sku.startsWith('good')) this.known.add(sku);
    else this.#newer.add(sku);
  }

  #newerPair(start: string, n: number): readonly Promise<void>[] {
    return [
      this.newer.publish(PricedV2, { sku: `${start}-version-${n}`, cents: n, currency: 'eur' }),
      this.newer.publish(Withdrawn, { sku: `${start}-type-${n}` }),
    ];
  }

  /** Undecodable, invalid, and one with a header beside which nothing much has room. */
  #poison(): readonly ReturnType<typeof foreign>[] {
    const type = 'conformance.priced';
    return range(0, 11).map((n) => {
      const id = `poison-${n}`;
      const invalid = cloudEvent({ id, type, data: { sku: n } });
      if (n < 10) return foreign(this.#kit, pricesV1, { id, type, body: n % 2 === 0 ? Buffer.from(`{${n}`) : invalid });
      return foreign(this.#kit, pricesV1, {
        id,
        type,
        body: Buffer.from('{oversized'),
        headers: { note: 'x'.repeat(32 * 1024) },
      });
    });
  }
}

function countBy<T>(items: readonly T[], nameOf: (item: T) => string): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const name of items.map(nameOf).toSorted()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
