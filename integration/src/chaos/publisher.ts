import { setTimeout as sleep } from 'node:timers/promises';
import { createBus, type Driver, WaybillError } from '@waybill/core';
import { idOf, Taken } from './contracts.ts';
import { Ledger, ledgerFile } from './ledger.ts';
import type { PublisherRole, Running, Start } from './order.ts';
import { Workload } from './workload.ts';

/** What a publisher has on its way at most; a fault can double it. */
export const MOST_PENDING = 200;
/** Shorter than the longest faults, so that some publishes end with TIMEOUT. */
const SEND_TIMEOUT_MS = 8_000;
const PACE_MS = 10;

/** Publishes what is left of a publisher's messages, none awaited before the next, then ends by `done`. */
export function publish(driver: Driver, start: Start, role: PublisherRole, done: () => Promise<void>): Running {
  const { prefix, messages, seed, folder, process } = start;
  const bus = createBus({ source: '/chaos', driver, uses: [Taken], prefix, sendTimeoutMs: SEND_TIMEOUT_MS });
  const ledger = new Ledger(ledgerFile(folder, process));
  const workload = new Workload(messages, seed);
  const counts = { confirmed: 0, rejected: 0, pending: 0 };
  const publishOne = async (index: number): Promise<void> => {
    const data = { index, entity: workload.key(index), sequence: workload.sequence(index) };
    ledger.add({ kind: 'intent', index });
    counts.pending += 1;
    try {
      await bus.publish(Taken, data, { id: idOf(index) });
      ledger.add({ kind: 'confirmed', index });
      counts.confirmed += 1;
    } catch (error) {
      ledger.add({ kind: 'rejected', index, code: WaybillError.is(error) ? error.code : 'something else' });
      counts.rejected += 1;
    }
    counts.pending -= 1;
  };
  const publishAll = async (): Promise<void> => {
    const turns = workload.turns(role.publisher);
    const startedAt = performance.now();
    for (let turn = role.fromTurn; turn < turns; turn += 1) {
      const due = (): number => role.fromTurn + ((performance.now() - startedAt) * role.rate) / 1_000;
      while (turn > due() || counts.pending >= MOST_PENDING) await sleep(PACE_MS);
      void publishOne(workload.index(role.publisher, turn));
    }
    while (counts.pending > 0) await sleep(PACE_MS);
    await done();
  };
  void publishAll();
  return {
    counts: () => ({ ...counts, handled: 0, failed: 0, dead: 0, held: counts.pending }),
    close: () => bus.close(),
  };
}
