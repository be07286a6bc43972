import type { Bus, Driver } from '@waybill/core';
import { desk, Moved, Noted, track, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { wrapDriver } from '../wrap-driver.ts';
import { SecretsWatch } from './secrets-watch.ts';

const HANDLERS = { [Noted.type]: () => undefined, [Work.type]: () => undefined } as const;
/** Less on the broker is quicker to make. */
const DESK = { uses: [Noted, desk] } as const;
const SEND_TIMEOUT_MS = 3_000;

export const secrets: readonly Scenario[] = [
  {
    id: 'secrets-cut',
    guarantee: 'secrets',
    sentence:
      'no credential shows in what a cut connection makes: errors with their causes and stacks, events, health, the console',
    faults: ['cut'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      using watch = new SecretsWatch(kit);
      const bus = kit.bus({ ...DESK, seam: watch.seam });
      const handled = new Set<number>();
      const over = new AbortController();
      let running = 0;
      const handle = async (
        { n }: { readonly n: number },
        { signal }: { readonly signal: AbortSignal },
      ): Promise<void> => {
        running += 1;
        if (n === 0 && running === 1) await Promise.race([aborted(signal), aborted(over.signal)]);
        if (signal.aborted) return watch.error('the reason of an aborted handler', signal.reason);
        handled.add(n);
      };
      await bus.consume(desk, { [Noted.type]: handle, [Work.type]: handle });
      await bus.publish(Noted, { n: 0 });
      await kit.eventually('a handler runs', () => running > 0, 20_000);
      for (let cuts = 0; cuts < 20 && errorsSeen(kit) < 2; cuts += 1) await cutWhilePublishing(kit, bus);
      const sends = [1, 2, 3].map((n) => bus.publish(Noted, { n }));
      for (let look = 0; look < 10; look += 1) watch.look('health', bus.health());
      await Promise.all(sends);
      // Where leases have a clock a cut loses none: the handler goes on.
      over.abort();
      await kit.eventually('all are handled', () => [0, 1, 2, 3].every((n) => handled.has(n)), 30_000);
      watch.check(2);
    },
  },
  {
    id: 'secrets-broker-killed',
    guarantee: 'secrets',
    sentence:
      'no credential shows while the broker is dead, neither of a bus that was connected nor of one that never was',
    needs: ['admin'],
    faults: ['down', 'start'],
    deadlineMs: 120_000,
    alone: true,
    async run(kit: Kit) {
      using watch = new SecretsWatch(kit);
      const connected = kit.bus({ ...DESK, seam: watch.seam, sendTimeoutMs: SEND_TIMEOUT_MS });
      await connected.consume(desk, HANDLERS);
      await connected.publish(Noted, { n: 1 });
      await kit.down();
      try {
        const never = kit.bus({ ...DESK, seam: watch.seam, sendTimeoutMs: SEND_TIMEOUT_MS });
        for (const [name, bus] of Object.entries({ connected, never })) await failing(kit, watch, name, bus);
        await kit.eventually('health is down', () => connected.health().status === 'down', 20_000);
        watch.look('health', connected.health());
        watch.look('health', never.health());
      } finally {
        await kit.faults.start();
      }
      await kit.eventually('the consumer is back', () => connected.health().consumers[0]?.status === 'up', 30_000);
      watch.check(6);
    },
  },
  {
    id: 'secrets-wrong-password',
    guarantee: 'secrets',
    sentence: 'a password that the broker refuses is told as PERMISSION_DENIED, and shows nowhere',
    faults: ['wrong-password'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const password = 'refused@secret/2';
      using watch = new SecretsWatch(kit, [password]);
      const bus = kit.bus({ ...DESK, driver: { password }, seam: watch.seam, sendTimeoutMs: SEND_TIMEOUT_MS });
      const calls = {
        publish: () => bus.publish(Noted, { n: 1 }),
        consume: () => bus.consume(desk, HANDLERS),
        letters: () => kit.letters(bus, desk),
        redrive: () => bus.redrive(desk),
        provision: () => bus.provision(),
      };
      for (const [name, call] of Object.entries(calls)) {
        kit.same((await watch.rejected(name, call)).code, 'PERMISSION_DENIED', `${name} with a wrong password`);
        watch.look('health', bus.health());
      }
      watch.check(5);
    },
  },
  {
    id: 'secrets-refused',
    guarantee: 'secrets',
    sentence:
      'no credential shows in refusals: wrong options, what the driver does not declare, what is missing, what is too large',
    needs: ['admin'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      using watch = new SecretsWatch(kit);
      const seam =
        (replaced: Partial<Driver>) =>
        (driver: Driver): Driver =>
          wrapDriver(watch.seam(driver), replaced);
      const without = { admin: undefined } as unknown as Partial<Driver>;
      const { capabilities } = kit;
      const verifying = kit.bus({ ...DESK, seam: watch.seam, provision: 'verify' });
      const powerless = kit.bus({ ...DESK, seam: seam(without) });
      const bus = kit.bus({ ...DESK, seam: watch.seam });
      const large = 'x'.repeat(capabilities.maxMessageBytes);
      const refusals: Readonly<Record<string, () => unknown>> = {
        ordering: () =>
          kit.bus({ uses: [Moved, track], seam: seam({ capabilities: { ...capabilities, ordering: 'none' } }) }),
        spec: () => kit.bus({ seam: seam({ spec: 2 } as unknown as Partial<Driver>) }),
        hold: () =>
          kit
            .bus({ ...DESK, seam: seam({ capabilities: { ...capabilities, maxHoldMs: 1_000 } }) })
            .consume(desk, HANDLERS),
        options: () => kit.bus({ ...DESK, seam: watch.seam, sendTimeoutMs: -1 }),
        consumer: () => bus.consume(desk, HANDLERS, { concurrency: 0 }),
        missing: () => verifying.consume(desk, HANDLERS),
        topic: () => verifying.publish(Noted, { n: 1 }),
        depth: () => powerless.depth(desk),
        purge: () => powerless.purge(desk, 'dead'),
        large: () => bus.publish(Noted, { n: 1, text: large }),
        invalid: () => bus.publish(Noted, { n: 'one' } as unknown as { n: number }),
        unknown: () => bus.publish(Moved, { entity: 'e', sequence: 1 }).then(() => bus.depth(track)),
        closed: () => bus.close().then(() => bus.publish(Noted, { n: 1 })),
      };
      for (const [name, refused] of Object.entries(refusals)) await watch.rejected(name, refused);
      for (const each of [verifying, powerless, bus]) watch.look('health', each.health());
      watch.check(13);
    },
  },
];

const errorsSeen = ({ events }: Kit): number =>
  events.filter((event) => 'error' in event && event.error !== undefined).length;

/** Some call is open when the connection goes: an idle one that breaks may show nowhere. */
async function cutWhilePublishing(kit: Kit, bus: Bus): Promise<void> {
  let cutting = true;
  const publishing = (async () => {
    while (cutting) await bus.publish(Noted, { n: 4 });
  })();
  await kit.faults.cut();
  cutting = false;
  await publishing;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** Everything that asks a dead broker for something. */
async function failing(kit: Kit, watch: SecretsWatch, name: string, bus: Bus): Promise<void> {
  const signal = AbortSignal.timeout(2 * SEND_TIMEOUT_MS);
  await Promise.all([
    watch.rejected(`publish of ${name}`, () => bus.publish(Noted, { n: 2 })),
    watch.rejected(`send of ${name}`, () => bus.send(desk, Work, { n: 3 })),
    watch.rejected(`depth of ${name}`, () => bus.depth(desk, { signal })),
    watch.rejected(`letters of ${name}`, () => kit.letters(bus, desk)),
    watch.rejected(`redrive of ${name}`, () => bus.redrive(desk, { signal })),
    watch.rejected(`purge of ${name}`, () => bus.purge(desk, 'work', { signal })),
  ]);
  watch.look(`health of ${name}`, bus.health());
}
