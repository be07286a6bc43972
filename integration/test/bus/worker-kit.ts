import { expect, onTestFinished } from 'vitest';

import { eventually, type Rabbitmq, startWorker, type Worker } from '../../src/index.ts';
import { Noted, notes } from './contracts.ts';
import type { BusUnderTest } from './kit.ts';

const file = new URL('../../workers/bus-worker.mjs', import.meta.url);

export interface Step {
  readonly step: 'started' | 'succeeded' | 'failed' | 'aborted';
  readonly n: number;
  readonly id: string;
  readonly attempt: number;
  readonly redelivered: boolean;
  readonly at: number;
}

interface Held {
  readonly held: number;
  readonly running: number;
}

export interface Orders {
  readonly consume?: object;
  readonly heartbeatSeconds?: number;
  /** Handlers that are told to fail succeed. */
  readonly lenient?: boolean;
}

export function start({ url }: Rabbitmq, { prefix }: BusUnderTest, orders: Orders = {}): Worker {
  const worker = startWorker(file, { args: [JSON.stringify({ url, prefix, ...orders })] });
  onTestFinished(async () => void (await worker.kill()));
  return worker;
}

export async function ready(worker: Worker): Promise<Worker> {
  await worker.received((message): message is object => has(message, 'ready'), { withinMs: 15_000 });
  return worker;
}

const has = (message: unknown, name: string): boolean =>
  typeof message === 'object' && message !== null && name in message;

export function steps(worker: Worker, step?: Step['step']): readonly Step[] {
  const all = worker.messages.filter((message): message is Step => has(message, 'step'));
  return step === undefined ? all : all.filter((each) => each.step === step);
}

export function heldBy(worker: Worker): Held {
  const last = worker.messages.findLast((message): message is Held => has(message, 'held'));
  return last ?? { held: 0, running: 0 };
}

export const idsOf = (of: readonly Step[]): readonly string[] => of.map(({ id }) => id);

/** Messages enough for a consumer to see that nothing kills its process, so that it opens its window. */
export async function warmUp(bus: BusUnderTest, worker: Worker): Promise<void> {
  await Promise.all(Array.from({ length: 25 }, (_, n) => bus.publish(Noted, { n }, { id: `warm${n}` })));
  await eventually(() => expect(steps(worker, 'succeeded')).toHaveLength(25));
}

export async function expectEmpty(bus: BusUnderTest, deadLettered = 0): Promise<void> {
  await eventually(async () => expect(await bus.depth(notes)).toMatchObject({ ready: 0, deadLettered }));
}
