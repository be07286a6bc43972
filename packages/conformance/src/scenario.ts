import type { Driver } from '@waybill/core';
import type { Guarantee } from './guarantees.ts';
import type { FaultName } from './harness.ts';
import type { Kit } from './kit.ts';

/** What a driver must declare for a scenario to make sense. */
export type Need = 'ordering' | 'delay' | 'admin';

/** `down`: the broker is killed, or stopped where it keeps nothing through a kill ({@link Kit.down}). */
export type Needed = FaultName | 'down';

/** One proof of one guarantee. */
export interface Scenario {
  /** Stable: reports and `--only` name it. */
  readonly id: string;
  readonly guarantee: Guarantee;
  /** What holds, in the present tense. */
  readonly sentence: string;
  readonly needs?: readonly Need[];
  readonly faults?: readonly Needed[];
  /** How long it may take, in ms. */
  readonly deadlineMs: number;
  /** Part of the quick set. @default false */
  readonly quick?: boolean;
  /** Its faults concern the whole broker: nothing else runs meanwhile. @default false */
  readonly alone?: boolean;
  readonly run: (kit: Kit) => Promise<void>;
}

/** The first fault of a scenario that a harness cannot do. */
export function missingFault({ faults = [] }: Scenario, can: readonly FaultName[]): FaultName | undefined {
  const down = can.includes('stop') ? 'stop' : 'kill';
  const needed = faults.map((fault) => (fault === 'down' ? down : fault));
  return needed.find((fault) => !can.includes(fault));
}

/** The first need of a scenario that a driver does not declare. */
export function undeclaredNeed({ needs = [] }: Scenario, { capabilities, admin }: Driver): Need | undefined {
  const declared: Readonly<Record<Need, boolean>> = {
    ordering: capabilities.ordering !== 'none',
    delay: capabilities.maxDelayMs > 0,
    admin: admin !== undefined,
  };
  return needs.find((need) => !declared[need]);
}
