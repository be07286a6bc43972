import { appendFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createBus, type Driver, type HandlerContext, type ObserveEvent } from '@waybill/core';
import { indexOf, QUEUES, Taken } from './contracts.ts';
import { Ledger, ledgerFile, NO_MESSAGE } from './ledger.ts';
import type { ConsumerRole, Running, Start } from './order.ts';
import { CONCURRENCY, type ConsumerName, KILLS, RETRY_DELAYS_MS, Workload } from './workload.ts';

/** What no fault makes RabbitMQ say: a tag of one channel was settled on another, or twice. */
const MISUSE = 'unknown delivery tag';

/** Handles one queue, with everything that handlers do written down. Resolves once messages would arrive. */
export async function consume(driver: Driver, start: Start): Promise<Running> {
  const { consumer: name } = start.role as ConsumerRole;
  const desk = new Desk(start, name, driver.capabilities.leaseMs !== undefined);
  const queue = QUEUES[name];
  const bus = createBus({ source: '/chaos', driver, uses: [queue], prefix: start.prefix, observe: desk.observe });
  const options = { concurrency: CONCURRENCY, retry: { delaysMs: RETRY_DELAYS_MS } };
  const handlers = {
    [Taken.type]: ({ index }: { readonly index: number }, context: HandlerContext) => desk.handle(index, context),
  } as const;
  const consumer = await bus.consume(queue, handlers, options);
  return {
    counts: () => ({ ...desk.counts, confirmed: 0, rejected: 0, held: consumer.health().held }),
    close: () => bus.close(),
  };
}

/** Where messages are handled as the workload says, and written down. */
class Desk {
  readonly #ledger: Ledger;
  readonly #workload: Workload;
  readonly #consumer: ConsumerName;
  /** Has one byte for each process that the killer took. */
  readonly #deaths: string;
  readonly counts = { handled: 0, failed: 0, dead: 0 };

  constructor({ messages, seed, folder, process }: Start, consumer: ConsumerName, hasLeases: boolean) {
    this.#ledger = new Ledger(ledgerFile(folder, process));
    this.#workload = new Workload(messages, seed, hasLeases);
    this.#consumer = consumer;
    this.#deaths = join(folder, 'deaths');
  }

  async handle(index: number, { attempt, signal }: HandlerContext): Promise<void> {
    const deed = this.#workload.deed(this.#consumer, index, attempt);
    this.#ledger.add({ kind: 'started', index, attempt });
    if (deed === 'die') this.#die(index, attempt);
    try {
      await sleep(this.#workload.workMs(this.#consumer, index), undefined, { signal });
    } catch (error) {
      this.#ledger.add({ kind: 'aborted', index, attempt });
      throw error;
    }
    const failed = deed === 'fail';
    this.#ledger.add({ kind: failed ? 'failed' : 'handled', index, attempt });
    this.counts[failed ? 'failed' : 'handled'] += 1;
    if (failed) throw new Error(`told to fail attempt ${attempt}`);
  }

  /** Told in the turn in which the dead lane has it, before its source is settled. */
  readonly observe = (event: ObserveEvent): void => {
    if (event.name === 'lease-lost' || event.name === 'consumer') return this.#watch(event.error);
    if (event.name !== 'dead-lettered') return;
    const { id, attempt, reason: code } = event;
    this.#ledger.add({ kind: 'dead', index: indexOf(id), attempt, code });
    this.counts.dead += 1;
  };

  #watch(error: Error | undefined): void {
    if (error?.message.includes(MISUSE) === true) this.#ledger.add({ kind: 'misused', index: NO_MESSAGE });
  }

  #die(index: number, attempt: number): void {
    const { size } = statSync(this.#deaths, { throwIfNoEntry: false }) ?? { size: 0 };
    if (size >= KILLS) return;
    appendFileSync(this.#deaths, 'x');
    this.#ledger.add({ kind: 'dies', index, attempt });
    process.kill(process.pid, 'SIGKILL');
  }
}
