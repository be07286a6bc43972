import type { FaultName, Harness } from '@waybill/conformance';
import { Random } from './random.ts';
import { CONSUMERS, type ConsumerName, PROCESSES, PUBLISHERS } from './workload.ts';

/** A kind of fault. `forMs` is how long it is on; those of one process go on beside the next. */
interface Kind {
  readonly name: string;
  readonly needs: readonly FaultName[];
  /** Of a cluster only. */
  readonly nodes?: boolean;
  readonly forMs: number;
  /** It holds up nothing else, so that the next one begins meanwhile. */
  readonly beside?: boolean;
}

/** Long enough for a broker to take a frozen process for dead: past heartbeats, sessions and leases. */
const FREEZE_MS = 15_000;

const OF_CONSUMERS: readonly Kind[] = CONSUMERS.flatMap((consumer): readonly Kind[] => [
  { name: `kill-${consumer}`, needs: ['kill-process'], forMs: 0 },
  { name: `freeze-${consumer}`, needs: ['freeze-process'], forMs: FREEZE_MS, beside: true },
  { name: `roll-${consumer}`, needs: ['kill-process'], forMs: 3_000 },
  { name: `refuse-dead-${consumer}`, needs: ['refuseDeadLane', 'kill-process'], forMs: 8_000 },
]);

const KINDS: readonly Kind[] = [
  { name: 'kill-publisher', needs: ['kill-process'], forMs: 0 },
  { name: 'freeze-publisher', needs: ['freeze-process'], forMs: FREEZE_MS, beside: true },
  ...OF_CONSUMERS,
  { name: 'cut', needs: ['cut'], forMs: 0 },
  { name: 'black-hole', needs: ['blackHole'], forMs: 10_000 },
  { name: 'slow', needs: ['delay'], forMs: 3_000 },
  { name: 'lose-confirms', needs: ['loseConfirms'], forMs: 4_000 },
  { name: 'pause', needs: ['pause'], forMs: 6_000 },
  { name: 'broker-down', needs: ['start'], forMs: 2_000 },
  { name: 'node-down', needs: ['kill', 'start'], nodes: true, forMs: 8_000 },
];

export interface Step {
  /** Since the run began. */
  readonly atMs: number;
  readonly fault: string;
  readonly forMs: number;
  /** The publisher or the process of a consumer that it is for, from 1. */
  readonly process?: number;
}

export interface Plan {
  readonly seed: number;
  readonly durationMs: number;
  readonly steps: readonly Step[];
  /** What this harness cannot do, and why. */
  readonly leftOut: Readonly<Record<string, string>>;
}

/** What of a harness decides the plan. */
export type Abilities = Pick<Harness, 'faults' | 'without' | 'nodes'>;

/** The first fault begins once all run. */
const FIRST_MS = 4_000;
/** The rest of the run is without one. */
const LAST_MS = 2_000;
const LEAST_MS = 40_000;
const MANY = 100_000;

/** How long messages are published: about two minutes for 20,000, and less for each of very many. */
export function durationOf(messages: number): number {
  return Math.max(LEAST_MS, Math.round(5.5 * Math.min(messages, MANY) + 2 * Math.max(0, messages - MANY)));
}

/**
 * Faults for a run that publishes for so long: every kind once in an order that the seed decides, then again in another one, as
 * long as time is left. The same seed and abilities give the same plan. `only` limits it to kinds by their name.
 */
export function makePlan(durationMs: number, seed: number, abilities: Abilities, only: readonly string[] = []): Plan {
  const unknown = only.filter((name) => !KINDS.some((kind) => kind.name === name));
  if (unknown.length > 0) {
    throw new Error(`There is no fault ${unknown.join(', ')}. Faults: ${KINDS.map(({ name }) => name).join(', ')}.`);
  }
  const wanted = KINDS.filter(({ name }) => only.length === 0 || only.includes(name));
  const reasons = wanted.map((kind) => [kind.name, missing(kind, abilities)] as const);
  const leftOut = Object.fromEntries(reasons.filter((reason): reason is [string, string] => reason[1] !== undefined));
  const kinds = wanted.filter(({ name }) => leftOut[name] === undefined);
  return { seed, durationMs, steps: stepsOf(kinds, durationMs - LAST_MS, new Random(seed)), leftOut };
}

function missing({ name, needs, nodes }: Kind, abilities: Abilities): string | undefined {
  if (nodes === true && (abilities.nodes ?? 1) === 1) return 'the broker has one node';
  const lacks = needs.find((need) => !abilities.faults.includes(need));
  if (lacks !== undefined) return `the harness has no ${lacks}: ${abilities.without?.[lacks] ?? 'not said why'}`;
  const ends = abilities.faults.includes('kill') || abilities.faults.includes('stop');
  return name === 'broker-down' && !ends ? 'the harness has neither kill nor stop' : undefined;
}

function stepsOf(kinds: readonly Kind[], untilMs: number, random: Random): readonly Step[] {
  const steps: Step[] = [];
  let atMs = FIRST_MS;
  while (kinds.length > 0) {
    for (const { name, forMs, beside } of random.shuffled(kinds)) {
      const step = { atMs, fault: name, forMs, ...targetOf(name, random) };
      if (atMs + forMs > untilMs) return steps;
      steps.push(step);
      atMs += (beside === true ? 0 : forMs) + random.between(1_500, 3_000);
    }
  }
  return steps;
}

function targetOf(fault: string, random: Random): Pick<Step, 'process'> {
  if (fault.endsWith('-publisher')) return { process: random.between(1, PUBLISHERS) };
  return consumerOf(fault) === undefined ? {} : { process: random.between(1, PROCESSES) };
}

/** The consumer that a fault is for. */
export function consumerOf(fault: string): ConsumerName | undefined {
  return CONSUMERS.find((consumer) => fault.endsWith(`-${consumer}`));
}
