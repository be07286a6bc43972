/** What one batch request takes: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html */
export const MOST_ENTRIES = 10;

/**
 * Parts that may be sent at the same time, each in tens, one after the other. What is of one group stays in one part, in
 * its order.
 */
export function lanesOf<T>(
  items: readonly T[],
  most: number,
  groupOf: (item: T) => string | undefined,
): readonly (readonly T[])[] {
  const lanes: T[][] = [];
  const laneOfGroup = new Map<string, number>();
  for (const [index, item] of items.entries()) {
    const group = groupOf(item);
    const lane = group === undefined ? Math.floor(index / MOST_ENTRIES) % most : laneOf(group, laneOfGroup, most);
    (lanes[lane] ??= []).push(item);
  }
  return lanes.filter((lane) => lane !== undefined);
}

function laneOf(group: string, laneOfGroup: Map<string, number>, most: number): number {
  const lane = laneOfGroup.get(group) ?? laneOfGroup.size % most;
  laneOfGroup.set(group, lane);
  return lane;
}

/** In tens. */
export function* tensOf<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += MOST_ENTRIES) yield items.slice(start, start + MOST_ENTRIES);
}
