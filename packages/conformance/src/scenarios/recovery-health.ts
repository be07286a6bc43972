import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus, Driver } from '@waybill/core';
import { desk, Noted, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';

/** Less on the broker is quicker to make. */
const DESK = { uses: [Noted, desk] } as const;

export const recoveryHealth: readonly Scenario[] = [
  {
    id: 'recovery-down-at-start',
    guarantee: 'recovery',
    sentence:
      'a bus that is made while the broker is down waits for it: publishes and consumers go on once it is there, or end at their deadline, and health says down',
    faults: ['down', 'start'],
    deadlineMs: 120_000,
    alone: true,
    async run(kit: Kit) {
      await kit.down();
      const handled: number[] = [];
      let waiting: Promise<unknown> | undefined;
      const calls: string[] = [];
      const bus = kit.bus({ ...DESK, sendTimeoutMs: 90_000, seam: (driver) => noting(driver, calls) });
      await sleep(200);
      kit.same(calls, [], 'what a bus that is only made asks of its driver');
      try {
        waiting = Promise.all([bus.publish(Noted, { n: 1 }), consumeNotes(bus, handled)]);
        waiting.catch(() => undefined);
        const hasty = kit.bus({ ...DESK, sendTimeoutMs: 3_000 });
        const [aborted, code] = await Promise.all([
          consumeFor(hasty, 3_000),
          codeWithin(kit, 5_000, () => hasty.publish(Noted, { n: 2 })),
        ]);
        kit.check(
          code === 'UNAVAILABLE' || code === 'TIMEOUT',
          `a publish ends with UNAVAILABLE or TIMEOUT at its deadline, not ${code}`,
        );
        kit.check(aborted, 'consume ends when its signal aborts');
        await kit.eventually(
          'health is down',
          () => bus.health().status === 'down' && bus.health().consumers[0]?.status !== 'up',
          15_000,
        );
        kit.same(handled, [], 'what is handled without a broker');
      } finally {
        await kit.faults.start();
      }
      await waiting;
      await kit.eventually('what was published without a broker is handled', () => handled.includes(1), 30_000);
      await kit.eventually('health is up', () => bus.health().status === 'up', 15_000);
    },
  },
  {
    id: 'recovery-black-hole',
    guarantee: 'recovery',
    sentence:
      'while the network swallows everything health is not up, and soon after it is back publishes and consumers go on',
    faults: ['blackHole'],
    deadlineMs: 120_000,
    async run(kit: Kit) {
      const bus = kit.bus({ ...DESK, sendTimeoutMs: 90_000 });
      const handled: number[] = [];
      await consumeNotes(bus, handled);
      await bus.publish(Noted, { n: 0 });
      await kit.eventually('the first is handled', () => handled.includes(0), 20_000);
      await kit.faults.blackHole(true);
      const pending = Promise.all([1, 2, 3].map((n) => bus.publish(Noted, { n })));
      pending.catch(() => undefined);
      await kit.eventually('health is not up', () => bus.health().status !== 'up', 10_000);
      await kit.eventually('health is down', () => bus.health().status === 'down', 45_000);
      await kit.faults.blackHole(false);
      await kit.eventually('all are handled', () => [1, 2, 3].every((n) => handled.includes(n)), 30_000);
      await pending;
      await kit.eventually('health is up', () => bus.health().status === 'up', 30_000);
      kit.check((await tookMs(() => bus.publish(Noted, { n: 4 }))) < 2_000, 'after that a publish takes less than 2 s');
    },
  },
  {
    id: 'recovery-health',
    guarantee: 'recovery',
    sentence: 'an idle consumer tells by health and events that the broker is down and why, and that it is up again',
    faults: ['down', 'start'],
    deadlineMs: 120_000,
    alone: true,
    async run(kit: Kit) {
      const bus = kit.bus(DESK);
      const handled: number[] = [];
      await consumeNotes(bus, handled);
      await kit.eventually('health is up', () => bus.health().status === 'up', 15_000);
      kit.same(bus.health().consumers[0]?.error, undefined, 'the error while it is up');
      await kit.down();
      try {
        await kit.eventually('health is down', () => bus.health().status === 'down', 20_000);
        kit.same(
          bus.health().consumers.map(({ status, error }) => [status, error?.code]),
          [['down', 'UNAVAILABLE']],
          'the consumer and why',
        );
        kit.check(statuses(kit).includes('down'), 'an event tells that it is down');
        const from = Date.now();
        kit.check(await staysDown(bus, from + 3_000), 'health stays down for 3 s while the broker is');
      } finally {
        await kit.faults.start();
      }
      await kit.eventually('health is up', () => bus.health().status === 'up', 30_000);
      kit.same(
        [statuses(kit).at(-1), bus.health().consumers[0]?.error],
        ['up', undefined],
        'the last event, and the error',
      );
      await bus.publish(Noted, { n: 7 });
      await kit.eventually('a message is handled', () => handled.includes(7), 20_000);
    },
  },
];

const statuses = (kit: Kit): readonly string[] =>
  kit.events.flatMap((event) => (event.name === 'consumer' ? [event.status] : []));

/** Names, by which a bus knows what it may ask. */
const FACTS = new Set<string | symbol>(['spec', 'name', 'capabilities', 'limits']);

/** `driver`, which notes every member that is looked at beside those that are only facts. */
function noting(driver: Driver, calls: string[]): Driver {
  return new Proxy(driver, {
    get(target, property) {
      if (!FACTS.has(property)) calls.push(String(property));
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

async function consumeNotes(bus: Bus, handled: number[]): Promise<void> {
  const handle = ({ n }: { readonly n: number }): void => void handled.push(n);
  await bus.consume(desk, { [Noted.type]: handle, [Work.type]: handle });
}

/** Whether `consume` ends soon after its signal aborts. */
async function consumeFor(bus: Bus, ms: number): Promise<boolean> {
  const startedAt = Date.now();
  const signal = AbortSignal.timeout(ms);
  const rejected = await bus
    .consume(desk, { [Noted.type]: () => undefined, [Work.type]: () => undefined }, { signal })
    .then(
      () => false,
      () => true,
    );
  return rejected && signal.aborted && Date.now() - startedAt < ms + 2_000;
}

/** The code that `work` rejects with. */
async function codeWithin(kit: Kit, ms: number, work: () => Promise<void>): Promise<string> {
  const startedAt = Date.now();
  const code = await work().then(
    () => 'none',
    (error: unknown) => String((error as { readonly code?: unknown }).code),
  );
  kit.check(Date.now() - startedAt < ms, `it ends within ${ms} ms, not ${Date.now() - startedAt}`);
  return code;
}

/** Whether health says down at every look until then. */
async function staysDown(bus: Bus, until: number): Promise<boolean> {
  while (Date.now() < until) {
    if (bus.health().status !== 'down') return false;
    await sleep(100);
  }
  return true;
}

async function tookMs(work: () => Promise<void>): Promise<number> {
  const startedAt = Date.now();
  await work();
  return Date.now() - startedAt;
}
