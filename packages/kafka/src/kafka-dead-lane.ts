import { deadName, type Page, type Queue, WaybillError } from '@waybill/core/driver';
import type { ClientAdmin, Place, StoredRecord } from './client/port.ts';
import { KafkaDelivery } from './from-kafka-message.ts';
import { placesOf } from './kafka-admin.ts';
import { isOpen, KafkaBacklog } from './kafka-backlog.ts';
import { KafkaPartition } from './kafka-partition.ts';

/** Where a listing goes on, and where the partitions ended when it began. */
interface Cursor {
  readonly partition: number;
  readonly offset: number;
  readonly ends: readonly number[];
}

/** Dead letters are read past the group that redrives them, and so taken from nobody. */
export class KafkaDeadLane {
  readonly #admin: ClientAdmin;
  readonly #backlog: KafkaBacklog;

  constructor(admin: ClientAdmin) {
    this.#admin = admin;
    this.#backlog = new KafkaBacklog(admin);
  }

  async browse({ name }: Queue, after: string | undefined, max: number): Promise<Page> {
    if (max <= 0) return { letters: [] };
    const topic = deadName(name);
    const counts = await this.#admin.partitions([topic]);
    if (!counts.has(topic)) throw new WaybillError('NOT_FOUND', `Topic "${topic}" does not exist. Apply the topology.`);
    const rests = await this.#backlog.rest(topic, placesOf([topic], counts), new Map());
    const cursor = after === undefined ? undefined : readCursor(after);
    const ends = cursor?.ends ?? rests.map(({ end }) => end);
    const letters: KafkaDelivery[] = [];
    for (const { place, progress, first } of rests) {
      const { partition } = place;
      const end = ends[partition] ?? 0;
      if (cursor !== undefined && partition < cursor.partition) continue;
      let from = Math.max(progress.offset, first, cursor?.partition === partition ? cursor.offset : 0);
      while (from < end) {
        const { records, next } = await this.#admin.read(place, from);
        for (const record of records) {
          if (record.offset >= end || !isOpen(progress, record.offset)) continue;
          if (letters.length === max)
            return { letters, after: writeCursor({ partition, offset: record.offset, ends }) };
          letters.push(toLetter(place, record));
        }
        if (next === from) break;
        from = next;
      }
    }
    return { letters };
  }
}

function toLetter(place: Place, record: StoredRecord): KafkaDelivery {
  const slot = { offset: record.offset, before: 0, handed: true, done: false };
  return new KafkaDelivery(record, slot, new KafkaPartition(place, false));
}

function writeCursor({ partition, offset, ends }: Cursor): string {
  return [partition, offset, ...ends].join('.');
}

function readCursor(text: string): Cursor {
  const [partition = 0, offset = 0, ...ends] = text.split('.').map(Number);
  return { partition, offset, ends };
}
