import { type Queue, deadName } from '@waybill/core/driver';

/** The delay topics of a queue, longest first. A message waits in the one of the longest step that is not too long. */
const STEPS = [
  { name: '1h', ms: 3_600_000 },
  { name: '5m', ms: 300_000 },
  { name: '30s', ms: 30_000 },
  { name: '5s', ms: 5_000 },
  { name: '1s', ms: 0 },
] as const;

export function delayTopics(queue: string): readonly string[] {
  return STEPS.map(({ name }) => `${queue}.delay.${name}`);
}

/** What is sent to the queue itself. Not of its name: an event topic may have that. */
export function ownTopic(queue: string): string {
  return `${queue}.delay.0s`;
}

/** Equal delays are in one topic, and so due in the order in which they are stored. */
export function delayTopicOf(queue: string, delayMs: number): string {
  const step = STEPS.find(({ ms }) => delayMs >= ms) ?? STEPS.at(-1);
  return `${queue}.delay.${step?.name}`;
}

/** All topics that are read for a queue's work lane. */
export function workTopics({ name, bindings }: Queue): readonly string[] {
  return [...new Set(bindings.map(({ topic }) => topic.name)), ownTopic(name), ...delayTopics(name)];
}

/** Topics that only this queue uses. */
export function ownTopics(queue: string): readonly string[] {
  return [ownTopic(queue), ...delayTopics(queue), deadName(queue)];
}
