import type { Bus, Driver } from '@waybill/core';
import type { Capabilities } from '@waybill/core/driver';
import { archive, desk, Follow, Moved, Noted, outbox, track, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { wrapDriver } from '../wrap-driver.ts';

/** A refusal says what to do. */
const ADVICE = /\b(add|call|choose|create|drop|give|lower|raise|run|share|update|use)\b/i;
/** Less on the broker is quicker to make. */
const DESK = { uses: [Noted, desk] } as const;
const AT_ONCE_MS = 1_000;
const HANDLERS = { [Noted.type]: () => undefined, [Work.type]: () => undefined } as const;

export const refusal: readonly Scenario[] = [
  {
    id: 'refusal-ordering',
    guarantee: 'refusal',
    sentence: 'an ordered queue on a driver without order is refused when the bus is made',
    deadlineMs: 10_000,
    quick: true,
    async run(kit: Kit) {
      const error = await refusedBy(
        kit,
        () => kit.bus({ uses: [Moved, track], seam: lacking({ ordering: 'none' }) }),
        'UNSUPPORTED',
      );
      saysWhat(kit, error, ['"track"', 'ordered']);
      const bus = kit.bus({ uses: [Moved, desk], seam: lacking({ ordering: 'none' }) });
      kit.same(bus.topology().queues.length, 1, 'queues of a bus that asks for no order');
    },
  },
  {
    id: 'refusal-topics',
    guarantee: 'refusal',
    sentence: 'events on a driver without topics are refused when the bus is made, and commands work',
    deadlineMs: 30_000,
    quick: true,
    async run(kit: Kit) {
      const seam = lacking({ topics: false });
      const error = await refusedBy(kit, () => kit.bus({ ...DESK, seam }), 'UNSUPPORTED');
      saysWhat(kit, error, ['"conformance.noted"', 'topics']);
      const bus = kit.bus({ uses: [outbox], seam });
      kit.same(bus.topology().topics, [], 'topics of a bus of commands');
      const handled: number[] = [];
      await bus.consume(outbox, { [Follow.type]: ({ n }) => void handled.push(n) }, { retry: { delaysMs: [] } });
      await bus.send(outbox, Follow, { n: 5 });
      await kit.eventually('a command is handled', () => handled.includes(5), 20_000);
    },
  },
  {
    id: 'refusal-hold',
    guarantee: 'refusal',
    sentence:
      'a consumer whose handlers, or retries in order, may take longer than the broker lets a message be held is refused at start',
    needs: ['admin', 'ordering'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: [Noted, Moved, desk, track], seam: lacking({ maxHoldMs: 60_000 }) });
      const started = (): Promise<unknown> => bus.consume(desk, HANDLERS, { timeoutMs: 60_001 });
      saysWhat(kit, await refusedBy(kit, started, 'UNSUPPORTED'), ['"desk"', '60001', '60000', 'timeoutMs']);
      const handlers = { 'conformance.moved': () => undefined, 'conformance.jumped': () => undefined } as const;
      const ordered = (): Promise<unknown> =>
        bus.consume(track, handlers, { timeoutMs: 10_000, retry: { delaysMs: [10_000, 30_000], jitter: 0 } });
      saysWhat(kit, await refusedBy(kit, ordered, 'UNSUPPORTED'), ['"track"', '70000', '60000', 'retry']);
      kit.same(kit.history.entries, [], 'what reached the broker before the refusals');
      await bus.consume(desk, HANDLERS, { timeoutMs: 10_000, retry: { delaysMs: [10_000, 300_000] } });
      await bus.consume(track, handlers, { timeoutMs: 10_000, retry: { delaysMs: [10_000, 20_000], jitter: 0 } });
    },
  },
  {
    id: 'refusal-admin',
    guarantee: 'refusal',
    sentence: 'depth and purge without management rights are refused with the reason, and everything else works',
    needs: ['admin'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      await kit.bus(DESK).provision();
      const bus = kit.bus({ ...DESK, seam: withoutAdmin });
      for (const [call, refused] of [
        ['depth', () => bus.depth(desk)],
        ['purge', () => bus.purge(desk, 'dead')],
      ] as const) {
        saysWhat(kit, await refusedBy(kit, refused, 'UNSUPPORTED'), [call, 'management rights']);
      }
      const handled: number[] = [];
      await bus.consume(desk, { ...HANDLERS, [Noted.type]: ({ n }) => void handled.push(n) });
      await bus.publish(Noted, { n: 5 });
      await kit.eventually('a message is handled without management rights', () => handled.includes(5), 20_000);
      kit.same((await kit.letters(bus, desk)).length, 0, 'letters that are listed without management rights');
    },
  },
  {
    id: 'refusal-missing-topology',
    guarantee: 'refusal',
    sentence:
      'with provision verify, or without the rights to create, what is missing is refused by name and not made, until it is there',
    needs: ['admin'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const verifying = kit.bus({ ...DESK, provision: 'verify' });
      const powerless = kit.bus({ ...DESK, seam: withoutAdmin });
      for (const bus of [verifying, powerless]) {
        const error = await kit.rejects(
          bus.consume(desk, HANDLERS),
          'NOT_FOUND',
          'a consumer of a queue that is missing',
        );
        saysWhat(kit, error, [bus.health().driver, `${kit.prefix}.desk`]);
        await kit.rejects(bus.publish(Noted, { n: 1 }), 'NOT_FOUND', 'a publish to a topic that is missing');
      }
      await kit.rejects(verifying.provision('verify'), 'NOT_FOUND', 'it is still missing');
      await kit.bus(DESK).provision();
      const error = await kit.rejects(
        kit.bus({ uses: [Noted, desk, archive], provision: 'verify' }).provision(),
        'NOT_FOUND',
        'one queue is missing',
      );
      kit.check(
        error.message.includes(`${kit.prefix}.archive`) && !error.message.includes(`${kit.prefix}.desk"`),
        `only what is missing is named: ${error.message}`,
      );
      const made = kit.bus({ ...DESK, provision: 'verify' });
      kit.same(await made.provision(), [], 'what verify makes');
      await made.consume(desk, HANDLERS);
    },
  },
  {
    id: 'refusal-spec',
    guarantee: 'refusal',
    sentence: 'a driver of another version of the seam is refused when the bus is made, by its name',
    deadlineMs: 10_000,
    quick: true,
    async run(kit: Kit) {
      const newer = (driver: Driver): Driver => wrapDriver(driver, { spec: 2 } as unknown as Partial<Driver>);
      const error = await refusedBy(kit, () => kit.bus({ seam: newer }), 'INVALID_ARGUMENT');
      saysWhat(kit, error, ['driver', 'version']);
    },
  },
  {
    id: 'refusal-while-down',
    guarantee: 'refusal',
    sentence:
      'while the broker is down a refusal comes at once and does not wait, and what only the broker can tell is refused once it is back',
    needs: ['admin'],
    faults: ['down', 'start'],
    deadlineMs: 90_000,
    alone: true,
    async run(kit: Kit) {
      await kit.down();
      let consuming: Promise<unknown> = Promise.resolve();
      const verifying = kit.bus({ ...DESK, provision: 'verify' });
      try {
        consuming = verifying.consume(desk, HANDLERS);
        consuming.catch(() => undefined);
        saysWhat(
          kit,
          await refusedBy(
            kit,
            () => kit.bus({ uses: [Moved, track], seam: lacking({ ordering: 'none' }) }),
            'UNSUPPORTED',
          ),
          ['"track"'],
        );
        const held = kit.bus({ ...DESK, seam: lacking({ maxHoldMs: 60_000 }) });
        saysWhat(kit, await refusedBy(kit, () => held.consume(desk, HANDLERS, { timeoutMs: 60_001 }), 'UNSUPPORTED'), [
          '"desk"',
        ]);
        const powerless = kit.bus({ ...DESK, seam: withoutAdmin });
        saysWhat(kit, await refusedBy(kit, () => powerless.depth(desk), 'UNSUPPORTED'), ['depth']);
        await kit.eventually('the consumer says that the broker is down', () => isDown(verifying), 20_000);
      } finally {
        await kit.faults.start();
      }
      const error = await kit.rejects(consuming, 'NOT_FOUND', 'a consumer of a queue that is missing');
      saysWhat(kit, error, [`${kit.prefix}.desk`]);
    },
  },
];

const lacking =
  (capabilities: Partial<Capabilities>) =>
  (driver: Driver): Driver =>
    wrapDriver(driver, { capabilities: { ...driver.capabilities, ...capabilities } });

const withoutAdmin = (driver: Driver): Driver => wrapDriver(driver, { admin: undefined } as unknown as Partial<Driver>);

const isDown = (bus: Bus): boolean => bus.health().consumers[0]?.error?.code === 'UNAVAILABLE';

/** Fails unless `work` is refused with this code, at once. Resolves with the error, which names the broker. */
async function refusedBy(kit: Kit, work: () => unknown, code: string): Promise<Error> {
  const startedAt = Date.now();
  const error = await kit.rejects((async () => work())(), code, 'what the driver does not declare');
  const tookMs = Date.now() - startedAt;
  kit.check(tookMs < AT_ONCE_MS, `it is refused within ${AT_ONCE_MS} ms, not ${tookMs}`);
  saysWhat(kit, error, [kit.session.createDriver().name]);
  return error;
}

/** The sentence has these words, and says what to do. */
function saysWhat(kit: Kit, { message }: Error, words: readonly string[]): void {
  const missing = words.filter((word) => !message.includes(word));
  kit.check(
    missing.length === 0 && ADVICE.test(message),
    `the refusal says ${[...missing, 'what to do'].join(', ')}: ${message}`,
  );
}
