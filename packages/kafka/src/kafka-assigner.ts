import type { Member, Share } from './client/port.ts';

/** A slot that a member has, and whether it has something of it in hand. */
export interface Claim {
  readonly slot: number;
  readonly busy: boolean;
}

const BUSY = '*';

/** What a member says of itself when it joins. */
export function writeClaims(claims: readonly Claim[]): string {
  return claims.map(({ slot, busy }) => `${slot}${busy ? BUSY : ''}`).join(',');
}

/** Busy ones first: they are kept before others. */
function readClaims(text: string): readonly Claim[] {
  const parts = text === '' ? [] : text.split(',');
  const claims = parts.map((part) => ({ slot: Math.trunc(Number(part.replace(BUSY, ''))), busy: part.endsWith(BUSY) }));
  return claims.filter(({ slot }) => slot >= 0).toSorted((a, b) => Number(b.busy) - Number(a.busy));
}

/**
 * Sticky and co-partitioned: the partitions of one number, of all topics of a queue, are a slot, and a slot goes to one
 * member as a whole, so that what has one key is in one process whichever topic it came through. A member keeps its
 * slots as long as nobody has too few; what it has in hand of those that it must give away, it may finish first.
 */
export function assign(
  members: readonly Member[],
  partitions: ReadonlyMap<string, number>,
): ReadonlyMap<string, Share> {
  const slots = Math.max(0, ...partitions.values());
  const { owners, surplus } = ownersOf(members, slots);
  const shares = new Map(members.map(({ id }) => [id, new Map<string, number[]>()]));
  for (const [topic, count] of partitions) {
    const takers = members.filter(({ topics }) => topics.includes(topic));
    if (takers.length === 0) continue;
    for (let partition = 0; partition < count; partition += 1) {
      const owner = owners[partition];
      // While a new version is rolled out, not every member knows every topic.
      const taker = takers.find(({ id }) => id === owner) ?? takers[partition % takers.length];
      const share = shares.get(taker?.id ?? '');
      share?.set(topic, [...(share.get(topic) ?? []), partition]);
    }
  }
  return new Map([...shares].map(([id, assignment]) => [id, { assignment, surplus: surplus.get(id) ?? [] }]));
}

/** By slot, the id of the member that has it; and by id, what of it is on its way to others. */
function ownersOf(
  members: readonly Member[],
  slots: number,
): { readonly owners: readonly (string | undefined)[]; readonly surplus: ReadonlyMap<string, readonly number[]> } {
  const sorted = members.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const least = Math.floor(slots / sorted.length);
  const owners = Array.from<string | undefined>({ length: slots });
  const counts = new Map(sorted.map(({ id }) => [id, 0]));
  const surplus = new Map<string, number[]>();
  let larger = slots % sorted.length;
  const give = (slot: number, id: string): void => {
    owners[slot] = id;
    counts.set(id, (counts.get(id) ?? 0) + 1);
  };
  for (const { id, claim } of sorted) {
    for (const { slot, busy } of readClaims(claim)) {
      if (slot >= slots || owners[slot] !== undefined) continue;
      const count = counts.get(id) ?? 0;
      const isExtra = count === least && larger > 0;
      if (isExtra) larger -= 1;
      if (count < least || isExtra) give(slot, id);
      else if (busy) {
        give(slot, id);
        surplus.set(id, [...(surplus.get(id) ?? []), slot]);
      }
    }
  }
  for (let slot = 0; slot < slots; slot += 1) {
    if (owners[slot] !== undefined) continue;
    const [neediest] = [...counts].toSorted((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1));
    if (neediest !== undefined) give(slot, neediest[0]);
  }
  return { owners, surplus };
}
