import { desk, Follow, Moved, Noted, outbox, track, Work } from './contracts.ts';
import type { Kit } from './kit.ts';
import type { Need } from './scenario.ts';

/** What must be refused where a need is not declared, before anything reaches the broker. */
const REFUSED: Readonly<Record<Need, (kit: Kit) => Promise<void>>> = {
  async ordering(kit) {
    const made = async (): Promise<unknown> => kit.bus({ uses: [Moved, track] });
    await kit.rejects(made(), 'UNSUPPORTED', 'a bus with an ordered queue on a driver that declares no order');
  },
  async delay(kit) {
    const bus = kit.bus({ uses: [Noted, desk, outbox] });
    const delayed = bus.send(outbox, Follow, { n: 1 }, { delayMs: 1_000 });
    await kit.rejects(delayed, 'UNSUPPORTED', 'a delayed send on a driver that declares no delay');
    const retrying = bus.consume(desk, { [Noted.type]: () => undefined, [Work.type]: () => undefined });
    await kit.rejects(retrying, 'UNSUPPORTED', 'a consumer with retries on a driver that declares no delay');
  },
  async admin(kit) {
    const bus = kit.bus({ uses: [Noted, desk] });
    await kit.rejects(bus.depth(desk), 'UNSUPPORTED', 'the depth on a driver without management rights');
    await kit.rejects(bus.purge(desk, 'dead'), 'UNSUPPORTED', 'a purge on a driver without management rights');
  },
};

/** Resolves once it is proven that what the driver does not declare is refused; fails with what was not. */
export async function proveRefusal(kit: Kit, need: Need): Promise<void> {
  await REFUSED[need](kit);
  kit.same(kit.history.entries, [], `what reached the broker before "${need}" was refused`);
}
