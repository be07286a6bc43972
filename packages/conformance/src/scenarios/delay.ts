import { setTimeout as sleep } from 'node:timers/promises';
import { BatchError, type Driver } from '@waybill/core';
import { desk, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import {
  type Asked,
  Backlog,
  CEILING_MS,
  checkArrival,
  type Delayed,
  IDLE_MS,
  latestAt,
  lowCeiling,
  sendDelayed,
  watchDelays,
} from './delay-arrivals.ts';

export const delay: readonly Scenario[] = [
  {
    id: 'delays',
    guarantee: 'delay',
    sentence:
      'delays beyond the ceiling of the broker, short ones behind long ones, and retries come not early and not late',
    needs: ['delay'],
    deadlineMs: 90_000,
    async run(kit: Kit) {
      const asked: Asked[] = [];
      const seam = (driver: Driver): Driver => watchDelays(lowCeiling(driver), asked);
      const bus = kit.bus({ seam });
      await bus.provision();
      const arrivals = new Map<string, number[]>();
      const work = (
        { n }: { readonly n: number },
        { attempt, metadata }: { readonly attempt: number; readonly metadata: { readonly id: string } },
      ): void => {
        arrivals.set(metadata.id, [...(arrivals.get(metadata.id) ?? []), Date.now()]);
        if (n < 0 && attempt === 1) throw new Error('told to fail');
      };
      const retryMs = 4_000;
      await bus.consume(
        desk,
        { 'conformance.work': work, 'conformance.noted': () => undefined },
        { retry: { delaysMs: [retryMs], jitter: 0 } },
      );
      const sent = await sendDelayed(bus, [20_000, 7_000, 2_500, 1_000, 0], 5);
      const retries = Array.from({ length: 5 }, (_, index) => `retried-${index}`);
      await Promise.all(retries.map((id, index) => bus.send(desk, Work, { n: -1 - index }, { id })));
      await kit.eventually(
        'all are handled',
        () => [...arrivals.values()].flat().length >= sent.length + 2 * retries.length,
        60_000,
      );
      for (const each of sent) checkArrival(kit, each, arrivals.get(each.id) ?? [], latestAt(kit, each));
      for (const id of retries) {
        const [first = 0, ...later] = arrivals.get(id) ?? [];
        const retry = { id, delayMs: retryMs, calledAt: first, storedAt: first };
        checkArrival(kit, retry, later, latestAt(kit, retry));
      }
      checkHops(kit, sent, asked);
    },
  },
  {
    id: 'delay-behind-backlog',
    guarantee: 'delay',
    sentence: 'behind a backlog a delayed message is late by the backlog once, not once a hop',
    needs: ['delay'],
    deadlineMs: 120_000,
    async run(kit: Kit) {
      const bus = kit.bus({ seam: lowCeiling });
      const backlog = new Backlog(bus);
      const arrivals = new Map<string, number[]>();
      const takesTime = { concurrency: 4, handlerMs: 20 };
      // Three seconds of work.
      const waiting = (3_000 / takesTime.handlerMs) * takesTime.concurrency;
      await kit.bus({ seam: lowCeiling }).consume(
        desk,
        {
          'conformance.work': (_, { metadata: { id } }) =>
            void arrivals.set(id, [...(arrivals.get(id) ?? []), Date.now()]),
          'conformance.noted': async ({ n }) => {
            await sleep(takesTime.handlerMs);
            backlog.handled(n);
          },
        },
        { concurrency: takesTime.concurrency },
      );
      await backlog.fill(waiting);
      const over = Date.now() + 45_000;
      let sent: readonly Delayed[] = [];
      const sending = sendDelayed(bus, [20_000, 7_000, 2_500, 1_000], 5).then((all) => (sent = all));
      await backlog.keep(waiting, () => Date.now() > over || (sent.length > 0 && arrivals.size === sent.length));
      await sending;
      await kit.eventually('the backlog is handled', () => backlog.left === 0, 60_000);
      for (const each of sent) {
        const dueAt = each.calledAt + each.delayMs;
        const drainedAt = backlog.drainedAt(dueAt + kit.capabilities.delayErrorMs);
        kit.check(drainedAt - dueAt > 1_000, `${each.id} becomes due behind a backlog: ${drainedAt - dueAt} ms`, [
          each.id,
        ]);
        checkArrival(kit, each, arrivals.get(each.id) ?? [], latestAt(kit, each, drainedAt));
      }
    },
  },
  {
    id: 'delay-missing-target',
    guarantee: 'delay',
    sentence: 'a delayed send to a queue that does not exist is refused with NOT_FOUND, and those beside it are stored',
    needs: ['delay'],
    deadlineMs: 30_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const delayed = await bus.prepareSend(desk, Work, { n: 1 }, { id: 'delayed', delayMs: 1_000 });
      const lost = { ...delayed, id: 'lost', target: { queue: `${kit.prefix}.nowhere`, lane: 'work' } } as const;
      const error = await bus.dispatch([delayed, lost]).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      const failures = BatchError.is(error) ? error.failures : [];
      kit.same(
        failures.map(({ index, error: { code } }) => [index, code]),
        [[1, 'NOT_FOUND']],
        'the refused sends',
        ['lost'],
      );
      const worker = await kit.worker({ queue: 'desk' });
      await kit.eventually('the other one arrives', () => worker.reports.some(({ what }) => what === 'handled'));
      kit.same(
        worker.reports.map(({ id }) => id),
        ['delayed', 'delayed'],
        'what arrives',
        ['delayed', 'lost'],
      );
    },
  },
];

function checkHops(
  kit: Kit,
  sent: readonly { readonly id: string; readonly delayMs: number }[],
  asked: readonly Asked[],
): void {
  const maxDelayMs = Math.min(CEILING_MS, kit.capabilities.maxDelayMs);
  const beyond = asked.filter(({ aheadMs }) => aheadMs > maxDelayMs);
  kit.same(beyond, [], 'copies delayed by more than the ceiling');
  for (const { id, delayMs } of sent) {
    const hops = asked.filter((copy) => copy.id.replace(/#.*/, '') === id).length;
    // A copy that comes late may save a later hop, and the first one none.
    const least = delayMs <= maxDelayMs ? 1 : Math.max(2, Math.ceil(delayMs / latestHopMs(kit, maxDelayMs)));
    kit.check(hops >= least, `${id} takes at least ${least} hops, not ${hops}`, [id]);
  }
}

const latestHopMs = (kit: Kit, hopMs: number): number => hopMs + kit.capabilities.delayErrorMs + IDLE_MS;
