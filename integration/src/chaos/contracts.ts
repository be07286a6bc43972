import { defineEvent, defineQueue, type EventContract, type QueueContract } from '@waybill/core';
import { z } from 'zod';
import type { ConsumerName } from './workload.ts';

interface Step {
  readonly index: number;
  readonly entity: string;
  readonly sequence: number;
}

type StepTaken = EventContract<'chaos.step-taken', z.ZodType<Step, Step>> & { readonly keyed: true };

const step = z.object({ index: z.int(), entity: z.string(), sequence: z.int() });

/** What is published: the next step of an entity. */
export const Taken: StepTaken = defineEvent('chaos.step-taken', step, { topic: 'steps' }).keyedBy(
  ({ entity }) => entity,
);

/** Where each consumer gets its copy. */
export const QUEUES: Readonly<Record<ConsumerName, QueueContract<StepTaken>>> = {
  ordered: defineQueue('ordered', { handles: [Taken], ordered: true }),
  concurrent: defineQueue('concurrent', { handles: [Taken] }),
};

/** Ids name the message, so that a ledger needs a number only. */
export function idOf(index: number): string {
  return `step-${index}`;
}

export function indexOf(id: string): number {
  return Number(id.slice('step-'.length));
}
