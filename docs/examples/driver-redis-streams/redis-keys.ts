import { deadName, type Lane } from '@waybill/core/driver';

/** The one consumer group of each stream. */
export const GROUP = 'waybill';
/** Name of each topic, with whether it is keyed. */
export const TOPICS = 'waybill:topics';

/** A lane, as scripts name it behind `waybill:queue:`. */
export const laneName = (queue: string, lane: Lane): string => (lane === 'dead' ? deadName(queue) : queue);
export const streamKey = (queue: string, lane: Lane): string => `waybill:queue:${laneName(queue, lane)}`;
export const delayedKey = (queue: string, lane: Lane): string => `waybill:delayed:${laneName(queue, lane)}`;
/** The queues that are bound to a topic for a type. */
export const boundKey = (topic: string, type: string): string => `waybill:bound:${topic}:${type}`;
