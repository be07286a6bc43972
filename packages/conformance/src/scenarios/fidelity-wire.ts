import type { Bus, Driver, HandlerContext, Metadata, OutgoingMessage } from '@waybill/core';
import { Filed, Moved, Noted } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import { wrapDriver } from '../wrap-driver.ts';
import { digest } from './dead-letter-helpers.ts';
import { Anything, Later, LEFT, RIGHT } from './fidelity-values.ts';

export const ENVELOPES = ['structured', 'binary'] as const;
export type Envelope = (typeof ENVELOPES)[number];

/** What buses handed to the broker, by the ids of the copies; as digests, since what was sent may be changed later. */
export class Wire {
  readonly sent = new Map<string, string>();
  /** Bytes of each, headers not counted. */
  readonly sizes = new Map<string, number>();

  readonly seam = (driver: Driver): Driver =>
    wrapDriver(driver, {
      send: (batch, signal) => {
        for (const message of batch) this.#note(message);
        return driver.send(batch, signal);
      },
    });

  /** Of messages that were published, copies left out. */
  get ids(): readonly string[] {
    return [...this.sent.keys()].filter((id) => !id.includes('#')).toSorted();
  }

  #note({ id, body }: OutgoingMessage): void {
    this.sent.set(id, digest(body));
    this.sizes.set(id, body.length);
  }
}

export interface Arrival {
  readonly id: string;
  /** As it was when its handler began. */
  readonly data: unknown;
  readonly metadata: Metadata;
  readonly attempt: number;
  /** Of the bytes that the broker gave. */
  readonly digest: string;
}

type Then = (arrival: Arrival) => Promise<void> | void;

/** What handlers were given. Bytes are overwritten afterwards: they are the handler's own. */
export class Arrivals {
  readonly all: Arrival[] = [];
  readonly #then: Then;

  /** `then` decides how a handler ends. */
  constructor(then: Then = () => undefined) {
    this.#then = then;
  }

  readonly handle = (data: unknown, { metadata, attempt, delivery }: HandlerContext): Promise<void> | void => {
    const arrival: Arrival = {
      id: metadata.id,
      data: data instanceof Uint8Array ? Uint8Array.from(data) : data,
      metadata,
      attempt,
      digest: digest(delivery.body),
    };
    this.all.push(arrival);
    if (data instanceof Uint8Array) data.fill(0xaa);
    return this.#then(arrival);
  };

  get ids(): readonly string[] {
    return [...new Set(this.all.map(({ id }) => id))].toSorted();
  }

  async consumeLeft(bus: Bus): Promise<void> {
    const { handle } = this;
    const handlers = { [Anything.type]: handle, [Filed.type]: handle, [Moved.type]: handle, [Noted.type]: handle };
    await bus.consume(LEFT, { ...handlers, [Later.type]: handle }, { retry: { delaysMs: [100] } });
  }

  async consumeRight(bus: Bus): Promise<void> {
    const { handle } = this;
    const handlers = { [Anything.type]: handle, [Filed.type]: handle, [Moved.type]: handle, [Noted.type]: handle };
    await bus.consume(RIGHT, handlers, { retry: { delaysMs: [] } });
  }

  /** Resolves once all of these arrived; fails at once where one of them is given up. */
  async arrived(kit: Kit, ids: readonly string[], withinMs = 15_000): Promise<void> {
    const given = (): readonly string[] =>
      kit.events.flatMap((event) => (event.name === 'dead-lettered' ? [`${event.id}: ${event.reason}`] : []));
    const missing = (): readonly string[] => {
      const there = new Set(this.ids);
      return ids.filter((id) => !there.has(id));
    };
    await kit
      .eventually('all arrive', () => missing().length === 0 || given().length > 0, withinMs)
      .catch(() => undefined);
    kit.same(given(), [], 'messages that were given up');
    const left = missing();
    kit.check(
      left.length === 0,
      `${ids.length} messages arrive within ${withinMs} ms; not ${left.slice(0, 9).join(', ')}`,
      left.slice(0, 3),
    );
  }

  /** Each came with the bytes that were sent, and nothing else came. */
  checkBytes(kit: Kit, { sent }: Wire): void {
    for (const { id, digest: came } of this.all) kit.same(came, sent.get(id), `the bytes of ${id} on the wire`, [id]);
  }
}

/** A bus of each envelope that writes to both queues; a bus of one reads left, a bus of the other right. */
export async function crossed(
  kit: Kit,
  then?: Then,
): Promise<{
  readonly wire: Wire;
  readonly writers: Readonly<Record<Envelope, Bus>>;
  readonly readers: readonly Arrivals[];
}> {
  const wire = new Wire();
  const uses = [Anything, Filed, Moved, Noted, LEFT, RIGHT] as const;
  const make = (envelope: Envelope): Bus => kit.bus({ uses, driver: { envelope }, seam: wire.seam });
  const writers = { structured: make('structured'), binary: make('binary') };
  const readers = [new Arrivals(then), new Arrivals(then)] as const;
  await writers.structured.provision();
  await readers[0].consumeLeft(make('structured'));
  await readers[1].consumeRight(make('binary'));
  return { wire, writers, readers };
}

/** Whether a driver that is asked for this envelope writes it. */
export function writes(kit: Kit, envelope: Envelope): boolean {
  return kit.session.createDriver({ envelope }).capabilities.envelope === envelope;
}
