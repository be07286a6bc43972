import type { Assignment, Member } from './client/port.ts';

/** What a member says of itself when it joins: the slots that it had. */
export function writeClaim(slots: readonly number[]): string {
  return slots.join(',');
}

function readClaim(claim: string): readonly number[] {
  return claim === '' ? [] : claim.split(',').map(Number).filter(Number.isSafeInteger);
}

/**
 * Sticky and co-partitioned: the partitions of one number, of all topics of a queue, are a slot, and a slot goes to one
 * member as a whole, so that what has one key is in one process whichever topic it came through. A member keeps its
 * slots as long as nobody has too few.
 */
export function assign(
  members: readonly Member[],
  partitions: ReadonlyMap<string, number>,
): ReadonlyMap<string, Assignment> {
  const owners = ownersOf(members, Math.max(0, ...partitions.values()));
  const assignments = new Map(members.map(({ id }) => [id, new Map<string, number[]>()]));
  for (const [topic, count] of partitions) {
    const takers = members.filter(({ topics }) => topics.includes(topic));
    if (takers.length === 0) continue;
    for (let partition = 0; partition < count; partition += 1) {
      const owner = owners[partition];
      // While a new version is rolled out, not every member knows every topic.
      const taker = takers.find(({ id }) => id === owner) ?? (takers[partition % takers.length] as Member);
      const assignment = assignments.get(taker.id) as Map<string, number[]>;
      assignment.set(topic, [...(assignment.get(topic) ?? []), partition]);
    }
  }
  return assignments;
}

/** By slot, the id of the member that has it. */
function ownersOf(members: readonly Member[], slots: number): readonly string[] {
  const sorted = [...members].sort((a, b) => (a.id < b.id ? -1 : 1));
  const least = Math.floor(slots / sorted.length);
  const owners = Array.from<string | undefined>({ length: slots });
  const held = new Map<string, number>(sorted.map(({ id }) => [id, 0]));
  let larger = slots % sorted.length;
  for (const { id, claim } of sorted) {
    for (const slot of readClaim(claim)) {
      const count = held.get(id) as number;
      const isExtra = count === least;
      if (slot >= slots || owners[slot] !== undefined || count > least || (isExtra && larger === 0)) continue;
      if (isExtra) larger -= 1;
      owners[slot] = id;
      held.set(id, count + 1);
    }
  }
  for (let slot = 0; slot < slots; slot += 1) {
    if (owners[slot] !== undefined) continue;
    const [neediest] = [...held].sort((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1));
    const [id, count] = neediest as [string, number];
    owners[slot] = id;
    held.set(id, count + 1);
  }
  return owners as string[];
}
