import { type ClientAdmin, type Committed, type Place, placeName } from './client/port.ts';
import { type Progress, readProgress } from './kafka-offsets.ts';

/** Of a partition, to count what is due: what is not looked at is taken for not due. */
const MOST_READ = 5_000;

interface Rest {
  readonly place: Place;
  readonly progress: Progress;
  readonly first: number;
  readonly end: number;
}

/** What a group has before it. */
export class KafkaBacklog {
  readonly #admin: ClientAdmin;

  constructor(admin: ClientAdmin) {
    this.#admin = admin;
  }

  async count(groupId: string, places: readonly Place[], beginnings: ReadonlyMap<string, number>): Promise<number> {
    return sum((await this.rest(groupId, places, beginnings)).map(lengthOf));
  }

  /** Records of delay topics are due at their time. */
  async countDelayed(
    groupId: string,
    places: readonly Place[],
  ): Promise<{ readonly due: number; readonly notDue: number }> {
    const rests = await this.rest(groupId, places, new Map());
    const now = Date.now();
    const due = sum(await Promise.all(rests.map((rest) => this.#countDue(rest, now))));
    return { due, notDue: sum(rests.map(lengthOf)) - due };
  }

  async rest(
    groupId: string,
    places: readonly Place[],
    beginnings: ReadonlyMap<string, number>,
  ): Promise<readonly Rest[]> {
    // Before the ends: what is finished in between would be counted twice the other way round.
    const ends = await this.#admin.offsets(places, 'end');
    const [firsts, committed] = await Promise.all([
      this.#admin.offsets(places, 'first'),
      this.#admin.committed(groupId, places),
    ]);
    return places.map((place) => {
      const name = placeName(place);
      return {
        place,
        progress: progressOf(committed.get(name), beginnings.get(name)),
        first: firsts.get(name) ?? 0,
        end: ends.get(name) ?? 0,
      };
    });
  }

  async #countDue(rest: Rest, now: number): Promise<number> {
    const { place, progress, end } = rest;
    if (lengthOf(rest) === 0) return 0;
    let from = Math.max(progress.offset, rest.first);
    let due = 0;
    for (let seen = 0; from < end && seen < MOST_READ;) {
      const { records, next } = await this.#admin.read(place, from);
      if (next === from) break;
      seen += records.length;
      due += records.filter(
        ({ offset, timestamp }) => timestamp <= now && offset < end && isOpen(progress, offset),
      ).length;
      from = next;
    }
    return due;
  }
}

/** Whether it is not finished yet. */
export function isOpen({ offset: from, end, holes }: Progress, offset: number): boolean {
  return offset >= from && (offset >= end || holes.includes(offset));
}

export function progressOf(committed: Committed | undefined, beginning: number | undefined): Progress {
  if (committed?.offset === undefined) return readProgress(beginning ?? 0, '');
  return readProgress(committed.offset, committed.metadata);
}

function lengthOf({ progress, first, end }: Rest): number {
  const from = Math.max(progress.offset, first);
  const open = progress.holes.filter((hole) => hole >= from).length;
  const finished = Math.max(0, Math.min(progress.end, end) - from - open);
  return Math.max(0, end - from - finished);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
