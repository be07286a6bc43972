import { setTimeout as sleep } from 'node:timers/promises';
import { desk } from '../contracts.ts';
import type { Session } from '../harness.ts';
import { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import {
  allArrived,
  CEILING_MS,
  checkArrival,
  type Delayed,
  handledAt,
  latestAt,
  lowCeiling,
  sendDelayed,
} from './delay-arrivals.ts';

const CEILING = { maxDelayMs: CEILING_MS };
/** A consumer is back this long after its broker: its longest wait between two tries, and a connection. */
const RECONNECT_MS = 8_000;

export const delayFaults: readonly Scenario[] = [
  {
    id: 'delay-consumer-absent',
    guarantee: 'delay',
    sentence:
      'delays go on while the only consumer is killed and absent, and what is due meanwhile comes at once afterwards',
    needs: ['delay'],
    faults: ['kill-process'],
    deadlineMs: 90_000,
    async run(kit: Kit) {
      const bus = kit.bus({ driver: CEILING, seam: lowCeiling });
      await bus.provision();
      const worker = await kit.worker({ queue: 'desk' }, CEILING);
      const inOneHop = await sendDelayed(kit.bus(), [15_000], 5, 'one-hop');
      const sent = [...inOneHop, ...(await sendDelayed(bus, [20_000, 7_000, 2_500, 0], 5))];
      const sentAt = Date.now();
      await allArrived(
        kit,
        sent.filter(({ delayMs }) => delayMs === 0),
        20_000,
      );
      await sleep(Math.max(sentAt + 1_000 - Date.now(), 0));
      const killedAt = Date.now();
      worker.kill();
      await sleep(Math.max(sentAt + 10_000 - Date.now(), 0));
      await kit.worker({ queue: 'desk' }, CEILING);
      const backAt = Date.now();
      await allArrived(kit, sent, 45_000);
      for (const each of sent) {
        const latest = latestAt(kit, each) < killedAt ? latestAt(kit, each) : latestAt(kit, each, backAt);
        checkArrival(kit, each, handledAt(kit, each.id), latest);
      }
    },
  },
  {
    id: 'delay-others-deleted',
    guarantee: 'delay',
    sentence: 'deleting another queue with 50 delayed messages does not delay ours',
    needs: ['delay'],
    deadlineMs: 60_000,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const worker = await kit.worker({ queue: 'desk' });
      const other = new Kit(kit.harness, await sameBroker(kit));
      let sent: readonly Delayed[];
      try {
        const others = other.bus();
        await sendDelayed(others, [2_000], 50, 'other');
        sent = await sendDelayed(bus, [4_000, 2_500], 10);
        // All that goes where nothing is removed at the end.
        if (kit.harness.isolated === true) await others.purge(desk, 'work');
      } finally {
        // Its queues go with it.
        await other.close();
      }
      await allArrived(kit, sent, 30_000);
      for (const each of sent) checkArrival(kit, each, handledAt(kit, each.id), latestAt(kit, each));
      kit.same(new Set(worker.reports.map(({ id }) => id)).size, sent.length, 'distinct messages that arrive');
    },
  },
  {
    id: 'delay-through-restart',
    guarantee: 'delay',
    sentence: 'what is delayed while the broker restarts comes once, neither early nor late',
    needs: ['delay'],
    faults: ['down', 'start'],
    deadlineMs: 120_000,
    alone: true,
    async run(kit: Kit) {
      const bus = kit.bus({ driver: CEILING, seam: lowCeiling });
      await bus.provision();
      await kit.worker({ queue: 'desk' }, CEILING);
      const sent = await sendDelayed(bus, [20_000, 8_000, 2_500], 5);
      await kit.down('node');
      await kit.faults.start();
      const upAt = Date.now();
      await allArrived(kit, sent, 60_000);
      for (const each of sent)
        checkArrival(kit, each, handledAt(kit, each.id), latestAt(kit, each, upAt + RECONNECT_MS));
    },
  },
];

/** Another session; where each has a broker of its own, the same one, which outlives the second kit. */
async function sameBroker({ harness, session }: Kit): Promise<Session> {
  if (harness.isolated !== true) return harness.open();
  const { faults } = session;
  return { createDriver: (settings) => session.createDriver(settings), faults, close: () => Promise.resolve() };
}
