import { setTimeout as sleep } from 'node:timers/promises';
import type { Faults } from '@waybill/conformance';
import type { Queue } from '@waybill/core/driver';
import type { Crew } from './crew.ts';
import type { Journal } from './journal.ts';
import type { Member } from './member.ts';
import { consumerOf, type Step } from './plan.ts';
import { CONSUMERS, type ConsumerName } from './workload.ts';

const SLOW_MS = 300;

export interface Scene {
  readonly crew: Crew;
  readonly faults: Partial<Faults>;
  readonly journal: Journal;
  /** As the broker names them. */
  readonly queues: Readonly<Record<ConsumerName, Queue>>;
}

/** Does what a step of the plan says. Resolves once it is over. Rejects where the harness fails at it. */
export async function disturb(scene: Scene, step: Step): Promise<void> {
  const over = scene.journal.disrupt(label(step));
  try {
    await act(scene, step);
  } finally {
    over();
  }
}

/** As journals, reports and the live view name a step. */
export function label({ fault, process }: Step): string {
  return process === undefined ? fault : `${fault} ${process}`;
}

async function act(scene: Scene, step: Step): Promise<void> {
  const { faults } = scene;
  const whileOn = (turn: ((on: boolean) => Promise<void>) | undefined): Promise<void> => during(step.forMs, turn);
  const consumer = consumerOf(step.fault);
  if (consumer !== undefined || step.fault.endsWith('-publisher')) return actOnProcess(scene, step, consumer);
  switch (step.fault) {
    case 'cut':
      return faults.cut?.();
    case 'black-hole':
      return whileOn(faults.blackHole);
    case 'slow':
      return whileOn((on) => faults.delay?.(on ? SLOW_MS : 0) ?? Promise.resolve());
    case 'lose-confirms':
      return whileOn(faults.loseConfirms);
    case 'pause':
      return whileOn(faults.pause);
    case 'broker-down':
      return whileOn((on) => (on ? end(faults) : start(faults)));
    case 'node-down':
      return whileOn((on) => (on ? (faults.kill?.('node') ?? Promise.resolve()) : start(faults)));
    default:
      throw new Error(`nobody knows how to do ${step.fault}`);
  }
}

async function during(ms: number, turn: ((on: boolean) => Promise<void>) | undefined): Promise<void> {
  await turn?.(true);
  await sleep(ms);
  await turn?.(false);
}

function end({ kill, stop }: Partial<Faults>): Promise<void> {
  return kill?.('broker') ?? stop?.() ?? Promise.resolve();
}

function start({ start: bringBack }: Partial<Faults>): Promise<void> {
  return bringBack?.() ?? Promise.resolve();
}

async function actOnProcess(scene: Scene, step: Step, consumer: ConsumerName | undefined): Promise<void> {
  const members = consumer === undefined ? scene.crew.publishers : scene.crew.consumers[consumer];
  const member = members[(step.process ?? 1) - 1];
  if (member === undefined) throw new Error(`there is no process ${step.process} for ${step.fault}`);
  if (step.fault.startsWith('kill-')) return void (member.isOver || member.kill());
  if (step.fault.startsWith('freeze-')) return freeze(member, step.forMs);
  if (step.fault.startsWith('roll-')) return roll(members);
  if (consumer !== undefined) return refuseDeadLane(scene, step, { consumer, member });
}

async function freeze(member: Member, forMs: number): Promise<void> {
  member.freeze(true);
  await sleep(forMs);
  member.freeze(false);
}

/** One after the other, as a deployment does. */
async function roll(members: readonly Member[]): Promise<void> {
  for (const member of members) {
    await member.close();
    await member.start();
  }
}

/** In the middle of it a process dies that may hold letters. It is not started again before: that could make the lane anew. */
async function refuseDeadLane(
  { faults, queues, crew }: Scene,
  { forMs }: Step,
  { consumer, member }: { readonly consumer: ConsumerName; readonly member: Member },
): Promise<void> {
  const release = crew.holdRestarts(consumer);
  try {
    await faults.refuseDeadLane?.(queues[consumer], true);
    await sleep(forMs / 2);
    member.kill();
    await sleep(forMs / 2);
    await faults.refuseDeadLane?.(queues[consumer], false);
  } finally {
    release();
  }
}

/** The queues of a run by their consumer. */
export function byConsumer(queues: readonly Queue[]): Readonly<Record<ConsumerName, Queue>> {
  const found = CONSUMERS.map((name) => [name, queues.find((queue) => queue.name.endsWith(`.${name}`))] as const);
  return Object.fromEntries(found) as Record<ConsumerName, Queue>;
}
