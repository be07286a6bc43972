import type { Delivery, Page, Queue } from '@waybill/core/driver';
import { WaybillError } from '@waybill/core/driver';
import Long from 'long';
import { fromServiceBusMessage } from './from-service-bus-message.ts';
import type { ServiceBusConnection } from './service-bus-connection.ts';
import { toWaybillError } from './service-bus-error.ts';
import { placesOf } from './service-bus-topology.ts';
import { settlerOf } from './settler.ts';

/** The broker answers a peek with about as many. */
const LARGEST_PEEK = 250;

/** Lists dead letters by peeking: nothing is locked, and nobody is kept from them. */
export class ServiceBusDeadLane {
  readonly #connection: ServiceBusConnection;

  constructor(connection: ServiceBusConnection) {
    this.#connection = connection;
  }

  /** `after` is the place and the sequence number to go on at. */
  async browse(queue: Queue, after: string | undefined, max: number): Promise<Page> {
    if (max <= 0) return { letters: [] };
    const places = placesOf(queue, 'dead');
    let [index, from] = startOf(after);
    const letters: Delivery[] = [];
    while (index < places.length) {
      const { path, name } = places[index] as (typeof places)[number];
      const page = await this.#peek(path, from, Math.min(max - letters.length, LARGEST_PEEK));
      letters.push(...page.map((message) => fromServiceBusMessage(message, { name, leaseUntil: 0 })));
      const last = page.at(-1)?.sequenceNumber;
      [index, from] = last === undefined ? [index + 1, Long.ONE] : [index, last.add(1)];
      if (letters.length >= max) return { letters, after: `${index}:${from.toString()}` };
    }
    return { letters };
  }

  async #peek(
    path: string,
    from: Long,
    max: number,
  ): Promise<ReturnType<ReturnType<typeof settlerOf>['peekMessages']>> {
    const life = this.#connection.life();
    try {
      const peeking = settlerOf(life, path).peekMessages(max, { fromSequenceNumber: from });
      return await life.answered(peeking, life.timeoutMs, `list the dead letters in "${path}"`);
    } catch (cause) {
      throw toWaybillError(cause, `list the dead letters in "${path}"`);
    }
  }
}

function startOf(after: string | undefined): [index: number, from: Long] {
  if (after === undefined) return [0, Long.ONE];
  const [, index, from] = /^(\d+):(\d+)$/.exec(after) ?? [];
  if (index === undefined || from === undefined) {
    throw new WaybillError('INVALID_ARGUMENT', 'This listing of dead letters is unknown. List them from the start.');
  }
  return [Number(index), Long.fromString(from)];
}
