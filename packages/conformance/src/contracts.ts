import { defineCommand, defineEvent, defineQueue } from '@waybill/core';
import { z } from 'zod';

const note = z.object({ n: z.number(), text: z.string().optional() });
const move = z.object({ entity: z.string(), sequence: z.number() });

/** Without a key, for unordered queues. */
export const Noted = defineEvent('conformance.noted', note, { topic: 'notes' });
/** With a key, for ordered ones. */
export const Moved = defineEvent('conformance.moved', move, { topic: 'moves' }).keyedBy((data) => data.entity);
export const Jumped = defineEvent('conformance.jumped', move, { topic: 'jumps' }).keyedBy((data) => data.entity);
export const Filed = defineEvent('conformance.filed', z.instanceof(Uint8Array), { topic: 'files' });
export const Work = defineCommand('conformance.work', note);
export const Follow = defineCommand('conformance.follow', note);

/** Unordered. */
export const desk = defineQueue('desk', { handles: [Noted, Work] });
/** Bound to the same topic as {@link desk}: it gets copies of its own. */
export const archive = defineQueue('archive', { handles: [Noted] });
export const cabinet = defineQueue('cabinet', { handles: [Filed] });
/** Ordered by key, two topics. */
export const track = defineQueue('track', { handles: [Moved, Jumped], ordered: true });
/** Where handlers of {@link desk} send to. */
export const outbox = defineQueue('outbox', { handles: [Follow] });

/** What worker processes can be told to consume, by name. */
export const QUEUES = { desk, archive, cabinet, track, outbox } as const;
export type QueueName = keyof typeof QUEUES;
