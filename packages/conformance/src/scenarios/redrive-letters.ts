import { createHash } from 'node:crypto';
import { type Bus, type DeadLetter, type HandlerContext, WaybillError } from '@waybill/core';
import type { Delivery, Subscription } from '@waybill/core/driver';
import { archive, desk, Noted, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';

/** What most of these scenarios use: less on the broker is quicker to make. */
export const DESK = { uses: [Noted, desk] } as const;
export const WITH_ARCHIVE = { uses: [Noted, desk, archive] } as const;

export const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from }, (_, index) => from + index);
export const letterId = (n: number): string => `letter-${n}`;
export const idsOf = (numbers: readonly number[]): readonly string[] => numbers.map(letterId).toSorted();
/** Of a number's message: some need more than one byte a character. */
const textOf = (n: number): string => `Zażółć ${n} ✉`;

const digest = (body: Uint8Array): string => createHash('sha256').update(body).digest('hex');
export const bodiesOf = (letters: readonly DeadLetter[]): Readonly<Record<string, string>> =>
  digestsOf(letters.map(({ id, delivery }) => ({ id, body: delivery.body })));
/** Digests by id, in the order of the ids. */
export function digestsOf(
  bodies: readonly { readonly id: string; readonly body: Uint8Array }[],
): Readonly<Record<string, string>> {
  const digests: Record<string, string> = {};
  const sorted = bodies.toSorted((left, right) => (left.id < right.id ? -1 : 1));
  for (const { id, body } of sorted) digests[id] = digest(body);
  return digests;
}

/** Publishes a message for each number to the topic that desk and archive are bound to. */
export async function publishLetters(bus: Bus, numbers: readonly number[]): Promise<void> {
  await Promise.all(numbers.map((n) => bus.publish(Noted, { n, text: textOf(n) }, { id: letterId(n) })));
}

/** Messages with these numbers, published and given up by desk's consumer: odd ones are rejected, even ones fail. */
export async function makeLetters(kit: Kit, bus: Bus, numbers: readonly number[]): Promise<void> {
  await bus.provision();
  const before = (await bus.depth(desk)).deadLettered;
  await publishLetters(bus, numbers);
  const rules = [{ only: numbers.filter((n) => n % 2 === 1), then: 'reject' }, { then: 'fail' }] as const;
  const worker = await kit.worker({ queue: 'desk', rules, options: { retry: { delaysMs: [] }, concurrency: 64 } });
  const total = before + numbers.length;
  await kit.eventually(`${total} messages are dead`, async () => (await bus.depth(desk)).deadLettered >= total, 90_000);
  await worker.close();
}

/** What became of desk's messages in this process. */
export class DeskRuns {
  readonly runs: { readonly id: string; readonly n: number; readonly context: HandlerContext }[] = [];

  /** Consumes desk; those that `fails` names die at once. */
  async consume(bus: Bus, fails: (n: number) => Promise<boolean> | boolean = () => false): Promise<void> {
    const handle = async ({ n }: { readonly n: number }, context: HandlerContext): Promise<void> => {
      this.runs.push({ id: context.metadata.id, n, context });
      if (await fails(n)) throw new Error('told to fail again');
    };
    await bus.consume(
      desk,
      { [Noted.type]: handle, [Work.type]: handle },
      { retry: { delaysMs: [] }, concurrency: 64 },
    );
  }

  /** Without repetitions of what a broker handed out again. */
  get first(): DeskRuns['runs'] {
    const seen = new Set<string>();
    return this.runs.filter(({ id, context }) => {
      const isFirst = !context.redelivered || !seen.has(id);
      seen.add(id);
      return isFirst;
    });
  }

  get ids(): readonly string[] {
    return [...new Set(this.runs.map(({ id }) => id))].toSorted();
  }

  /** Resolves once each of these was handled. */
  async handled(kit: Kit, numbers: readonly number[], withinMs = 60_000): Promise<void> {
    const missing = (): readonly string[] => {
      const seen = new Set(this.ids);
      return idsOf(numbers).filter((id) => !seen.has(id));
    };
    await kit.eventually('all are handled again', () => missing().length === 0, withinMs).catch(() => undefined);
    const left = missing();
    kit.check(
      left.length === 0,
      `${numbers.length} redriven messages are handled within ${withinMs} ms; ${left.length} are not`,
      left.slice(0, 5),
    );
  }
}

/** Ids that archive's consumer saw, as they came, without repetitions of what its broker handed out again. */
export async function watchArchive(bus: Bus): Promise<readonly string[]> {
  const seen: string[] = [];
  await bus.consume(archive, {
    [Noted.type]: (_, { metadata, redelivered }) => {
      if (!redelivered || !seen.includes(metadata.id)) seen.push(metadata.id);
    },
  });
  return seen;
}

/** Hands the messages with these numbers out, without any decision, until the broker itself gives them up. */
export async function wearOut(kit: Kit, bus: Bus, numbers: readonly number[]): Promise<void> {
  await bus.provision();
  await publishLetters(bus, numbers);
  const worn = new WearOut(kit, numbers.length);
  const driver = kit.session.createDriver();
  const subscription = await driver.subscribe(kit.physical(bus, desk), 'work', {
    maxInFlight: numbers.length,
    onLost: () => undefined,
  });
  for (let round = 0; round < 3 * kit.capabilities.maxDeliveries; round += 1) {
    await worn.handOut(subscription);
    if ((await bus.depth(desk)).deadLettered >= numbers.length) break;
  }
  await subscription.close(Date.now() + 2_000);
  await driver.close(Date.now() + 2_000);
  kit.same((await bus.depth(desk)).deadLettered, numbers.length, 'letters by the broker', idsOf(numbers).slice(0, 2));
}

const COMES_WITHIN_MS = 2_000;

/** Releases what it is handed; where the broker does not count that, it cuts the connection instead. */
class WearOut {
  readonly #kit: Kit;
  readonly #count: number;
  /** Hand-outs of a message, as of the last round. */
  #most = 0;
  #cuts = false;

  constructor(kit: Kit, count: number) {
    this.#kit = kit;
    this.#count = count;
  }

  async handOut(subscription: Subscription): Promise<void> {
    const held = await this.#receive(subscription);
    const most = Math.max(0, ...held.map(({ deliveries }) => deliveries));
    this.#cuts ||= most > 0 && most <= this.#most;
    this.#most = most;
    if (this.#cuts) return this.#kit.faults.cut();
    await subscription.settle(held.map((delivery) => ({ delivery, action: 'release' })));
  }

  async #receive(subscription: Subscription): Promise<readonly Delivery[]> {
    const held: Delivery[] = [];
    const signal = AbortSignal.timeout(COMES_WITHIN_MS);
    while (held.length < this.#count && !signal.aborted) {
      try {
        held.push(...(await subscription.receive(this.#count - held.length, signal)));
      } catch (error) {
        if (!WaybillError.is(error) || !error.retryable) throw error;
      }
    }
    return held;
  }
}
