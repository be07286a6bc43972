import { createHash } from 'node:crypto';
import {
  BatchError,
  type Bus,
  type BatchFailure,
  type DeadLetter,
  type Driver,
  type OutgoingMessage,
  type QueueContract,
  WaybillError,
} from '@waybill/core';
import type { Settlement, Subscription } from '@waybill/core/driver';
import { desk, Noted } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import { wrapDriver, wrapSubscription } from '../wrap-driver.ts';

/** What the core keeps of an error, and what a copy's bookkeeping takes at most. */
export const LARGEST_BOOKKEEPING = 4 * 1024;
const BOOKKEEPING_ROOM = 8 * 1024;
/** 64 KiB that no header has room for. */
export const LONG_ERROR: string = '🦑'.repeat(16 * 1024);

export const digest = (body: Uint8Array): string => createHash('sha256').update(body).digest('hex');

/** Text that makes the note with this number and id exactly as large as `publish` accepts. */
export async function largestText(kit: Kit, bus: Bus, n: number, id: string): Promise<string> {
  const { body, type, contentType, headers } = await bus.prepare(Noted, { n, text: '' }, { id });
  const headerBytes = Object.entries(headers).reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  const used = body.length + id.length + type.length + contentType.length + headerBytes;
  const text = 'x'.repeat(kit.capabilities.maxMessageBytes - BOOKKEEPING_ROOM - used);
  await kit.rejects(
    bus.publish(Noted, { n, text: `${text}x` }, { id }),
    'TOO_LARGE',
    'one byte more than the largest is refused',
  );
  return text;
}

/** All dead letters of a queue, as soon as there are `count`. */
export async function lettersOnceThere(
  kit: Kit,
  bus: Bus,
  queue: QueueContract,
  { count, withinMs }: { readonly count: number; readonly withinMs: number },
): Promise<readonly DeadLetter[]> {
  let letters: readonly DeadLetter[] = [];
  await kit
    .eventually(
      `there are ${count} dead letters`,
      async () => {
        letters = await kit.letters(bus, queue);
        return letters.length >= count;
      },
      withinMs,
    )
    .catch(() => undefined);
  const listed = letters.map(({ id, reason, attempts }) => `${id} ${reason} ${attempts}`).slice(0, 30);
  kit.check(
    letters.length === count,
    `there are ${count} dead letters within ${withinMs} ms: ${letters.length} (${listed.join(', ')})`,
    letters.slice(0, 5).map(({ id }) => id),
  );
  return letters;
}

/** Later on no other letter has come, and none has gone. */
export async function stillTheLetters(
  kit: Kit,
  bus: Bus,
  queue: QueueContract,
  letters: readonly DeadLetter[],
): Promise<void> {
  const before = letters.map(({ id }) => id).toSorted();
  const now = (await kit.letters(bus, queue)).map(({ id }) => id).toSorted();
  kit.same(
    now,
    before,
    'the dead letters in the end',
    [...now.filter((id) => !before.includes(id)), ...before].slice(0, 3),
  );
}

/** Every one has this reason, and was given up at its first attempt. */
export function allAtOnce(kit: Kit, letters: readonly DeadLetter[], reason: string): void {
  const found = letters.map((letter) => `${letter.reason} ${letter.attempts}`);
  const ids = letters.map(({ id }) => id).slice(0, 3);
  kit.check(
    new Set(found).size === 1 && found[0] === `${reason} 1`,
    `all are ${reason} at attempt 1: ${found.join(', ')}`,
    ids,
  );
}

/** The letters have these bytes, in whatever order. */
export function sameBodies(kit: Kit, letters: readonly DeadLetter[], bodies: readonly Uint8Array[]): void {
  const found = letters.map(({ delivery }) => digest(delivery.body)).toSorted();
  const ids = letters.map(({ id }) => id).slice(0, 3);
  kit.same(found, bodies.map(digest).toSorted(), 'each letter has the bytes that came', ids);
}

/** Id, reason and attempts of each, by id. */
export function outlined(letters: readonly DeadLetter[]): readonly (readonly [string, string, number])[] {
  const outline = letters.map(({ id, reason, attempts }) => [id, reason, attempts] as const);
  return outline.toSorted(([left], [right]) => (left < right ? -1 : 1));
}

const isLetter = ({ target }: OutgoingMessage): boolean => 'lane' in target && target.lane === 'dead';

/**
 * No letter of desk is stored: the broker refuses them where it can, and else the seam does. Native rejects and what
 * `alsoRefuses` names fail at the seam, as if the broker did not answer.
 */
export class LetterOutage {
  readonly #kit: Kit;
  readonly #byBroker: boolean;
  readonly #alsoRefuses: (message: OutgoingMessage) => boolean;
  #on = false;

  constructor(kit: Kit, alsoRefuses: (message: OutgoingMessage) => boolean = () => false) {
    this.#kit = kit;
    this.#byBroker = kit.harness.faults.includes('refuseDeadLane');
    this.#alsoRefuses = alsoRefuses;
  }

  async begin(bus: Bus): Promise<void> {
    if (this.#byBroker) await this.#kit.faults.refuseDeadLane(this.#kit.physical(bus, desk), true);
    this.#on = true;
  }

  async end(bus: Bus): Promise<void> {
    this.#on = false;
    if (this.#byBroker) await this.#kit.faults.refuseDeadLane(this.#kit.physical(bus, desk), false);
  }

  readonly seam = (driver: Driver): Driver => {
    const isRefused = (message: OutgoingMessage): boolean =>
      this.#on && (this.#alsoRefuses(message) || (!this.#byBroker && isLetter(message)));
    return wrapDriver(driver, {
      send: (batch, signal) => partly(batch, isRefused, (taken) => driver.send(taken, signal)),
      subscribe: async (queue, lane, options) => this.#settling(await driver.subscribe(queue, lane, options)),
    });
  };

  #settling(subscription: Subscription): Subscription {
    const isRefused = ({ action }: Settlement): boolean => this.#on && action === 'reject';
    return wrapSubscription(subscription, {
      settle: (batch) => partly(batch, isRefused, (taken) => subscription.settle(taken)),
    });
  }
}

/** A driver that dies like its process: nothing gets through any more, and what it held is the broker's again. */
export class Mortal {
  #dead = false;
  #driver: Driver | undefined;

  readonly seam = (driver: Driver): Driver => {
    this.#driver = driver;
    const living = <T>(call: () => Promise<T>): Promise<T> =>
      this.#dead ? Promise.reject(new WaybillError('UNAVAILABLE', 'The process is dead.')) : call();
    return wrapDriver(driver, {
      send: (batch, signal) => living(() => driver.send(batch, signal)),
      subscribe: (queue, lane, options) =>
        living(async () => {
          const subscription = await driver.subscribe(queue, lane, options);
          return wrapSubscription(subscription, {
            receive: (max, signal) => living(() => subscription.receive(max, signal)),
            settle: (batch) => living(() => subscription.settle(batch)),
            extend: (deliveries) => living(() => subscription.extend(deliveries)),
          });
        }),
    });
  };

  async die(): Promise<void> {
    this.#dead = true;
    await this.#driver?.close(Date.now());
  }
}

/** Does `work` with those that are not refused; rejects naming all that failed. */
async function partly<T>(
  batch: readonly T[],
  isRefused: (item: T) => boolean,
  work: (taken: readonly T[]) => Promise<void>,
): Promise<void> {
  const refused = batch.map((item) => isRefused(item));
  const indexes = batch.flatMap((_, index) => (refused[index] === true ? [] : [index]));
  const failures = batch.flatMap((_, index): BatchFailure[] =>
    refused[index] === true ? [{ index, error: new WaybillError('UNAVAILABLE', 'It is refused for a while.') }] : [],
  );
  if (indexes.length > 0) {
    await work(batch.filter((_, index) => refused[index] !== true)).catch((error: unknown) => {
      if (!BatchError.is(error)) throw error;
      failures.push(...error.failures.map((failure) => ({ ...failure, index: indexes[failure.index] ?? 0 })));
    });
  }
  if (failures.length === 0) return;
  failures.sort((left, right) => left.index - right.index);
  throw new BatchError(failures, batch.length);
}

/** The broker's form of a message that Waybill did not write, to the work lane of a queue. */
export function foreign(
  kit: Kit,
  queue: QueueContract,
  message: Partial<OutgoingMessage> & { readonly id: string },
): OutgoingMessage {
  return {
    target: { queue: `${kit.prefix}.${queue.name}`, lane: 'work' },
    type: 'conformance.noted',
    contentType: 'application/cloudevents+json',
    body: new Uint8Array(0),
    headers: {},
    ...message,
  };
}

/** A CloudEvent as bytes, of exactly `bytes` where that is given. */
export function cloudEvent(event: Readonly<Record<string, unknown>>, bytes?: number): Uint8Array {
  const encode = (padding: string): Buffer =>
    Buffer.from(
      JSON.stringify({ specversion: '1.0', source: '/foreign', type: 'conformance.noted', ...event, padding }),
    );
  return bytes === undefined ? encode('') : encode('x'.repeat(bytes - encode('').length));
}
