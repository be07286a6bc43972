import { inspect } from 'node:util';
import {
  type BatchError,
  type Delivery,
  decode,
  type Driver,
  type ObserveEvent,
  type OutgoingMessage,
  WaybillError,
} from '@waybill/core';
import type { Settlement, Subscription } from '@waybill/core/driver';
import { wrapDriver, wrapSubscription } from './wrap-driver.ts';

export type What =
  | 'sent'
  | 'stored'
  | 'not stored'
  | 'handed out'
  | 'started'
  | 'handled'
  | 'failed'
  | 'waits'
  | 'accepted'
  | 'released'
  | 'rejected'
  | 'not settled'
  | 'lost';

export interface Entry {
  /** Epoch ms. */
  readonly at: number;
  readonly process: string;
  readonly what: What;
  readonly id: string;
  /** Of the copy, the attempt, the error: what helps to read it. */
  readonly detail: string;
}

/** What happened to every message of a scenario, in the order in which it was seen. */
export class History {
  readonly #startedAt = Date.now();
  readonly #entries: Entry[] = [];
  readonly #onEntry: ((entry: Entry) => void) | undefined;

  constructor(onEntry?: (entry: Entry) => void) {
    this.#onEntry = onEntry;
  }

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  add(entry: Entry): void {
    this.#entries.push(entry);
    this.#onEntry?.(entry);
  }

  note(process: string, what: What, id: string, detail = ''): void {
    this.add({ at: Date.now(), process, what, id, detail });
  }

  /** The lines that concern these messages; of all, the last ones, where none are named. */
  describe(ids: readonly string[] = [], most = 80): string {
    const wanted = new Set(ids);
    const concerned = ids.length === 0 ? this.#entries : this.#entries.filter(({ id }) => wanted.has(id));
    const lines = concerned
      // Other processes tell a little later.
      .toSorted((a, b) => a.at - b.at)
      .slice(-most)
      .map(({ at, process, what, id, detail }) =>
        `  ${String(at - this.#startedAt).padStart(7)} ms  ${process.padEnd(10)} ${what.padEnd(11)} ${id} ${detail}`.trimEnd(),
      );
    const left = concerned.length - lines.length;
    return [...(left > 0 ? [`  … ${left} earlier lines`] : []), ...lines].join('\n');
  }
}

/** What a bus tells of its handlers, which cross no seam. */
export function noteEvent(history: History, process: string, event: ObserveEvent): void {
  if (event.name === 'waits') history.note(process, 'waits', event.id, `until ${event.until}`);
  if (event.name !== 'handled') return;
  const { id, attempt, outcome, durationMs, error } = event;
  const why = error === undefined ? '' : `: ${error instanceof Error ? error.message : inspect(error)}`;
  const what = outcome === 'accepted' ? 'handled' : 'failed';
  history.note(process, what, id, `attempt ${attempt} ${outcome} after ${durationMs} ms${why}`);
}

/** `driver`, with everything that crosses the seam written down. */
export function recorded(driver: Driver, history: History, process: string): Driver {
  return wrapDriver(driver, {
    send: sending(driver, history, process),
    subscribe: subscribing(driver, history, process),
  });
}

function sending(driver: Driver, history: History, process: string): Driver['send'] {
  return async (batch, signal) => {
    for (const message of batch)
      history.note(process, 'sent', logicalId(message), `${message.id} to ${targetOf(message)}`);
    try {
      await driver.send(batch, signal);
      for (const message of batch) history.note(process, 'stored', logicalId(message), message.id);
    } catch (error) {
      noteFailures(batch, error, history, process);
      throw error;
    }
  };
}

function noteFailures(batch: readonly OutgoingMessage[], error: unknown, history: History, process: string): void {
  const codes = codesByIndex(batch.length, error);
  for (const [index, message] of batch.entries()) {
    const code = codes.get(index);
    const what = code === undefined ? 'stored' : 'not stored';
    history.note(process, what, logicalId(message), `${message.id} ${code ?? ''}`);
  }
}

/** Of a call that failed for some of a batch, or for all of it: what each of them failed with. */
function codesByIndex(count: number, error: unknown): ReadonlyMap<number, string> {
  if (WaybillError.is(error) && 'failures' in error) {
    const failures = error.failures as BatchError['failures'];
    return new Map(failures.map((failure) => [failure.index, failure.error.code]));
  }
  return new Map(Array.from({ length: count }, (_, index) => [index, String(error)]));
}

function subscribing(driver: Driver, history: History, process: string): Driver['subscribe'] {
  return async (queue, lane, options) => {
    const note = (what: What, delivery: Delivery, detail = ''): void =>
      history.note(process, what, idOf(delivery), detail);
    const subscription = await driver.subscribe(queue, lane, {
      ...options,
      onLost(deliveries, cause) {
        for (const delivery of deliveries) note('lost', delivery, cause.code);
        options.onLost(deliveries, cause);
      },
    });
    return recordedSubscription(subscription, `${queue.name}/${lane}`, note);
  };
}

function recordedSubscription(
  subscription: Subscription,
  place: string,
  note: (what: What, delivery: Delivery, detail?: string) => void,
): Subscription {
  return wrapSubscription(subscription, {
    async receive(max, signal) {
      const deliveries = await subscription.receive(max, signal);
      for (const delivery of deliveries) note('handed out', delivery, `${place} deliveries ${delivery.deliveries}`);
      return deliveries;
    },
    async settle(batch) {
      let codes: ReadonlyMap<number, string> = new Map();
      try {
        await subscription.settle(batch);
      } catch (error) {
        codes = codesByIndex(batch.length, error);
        throw error;
      } finally {
        for (const [index, { delivery, action }] of batch.entries()) {
          const code = codes.get(index);
          if (code === undefined) note(ACTIONS[action], delivery, place);
          else note('not settled', delivery, `${action}: ${code}`);
        }
      }
    },
  });
}

const ACTIONS: Readonly<Record<Settlement['action'], What>> = {
  accept: 'accepted',
  release: 'released',
  reject: 'rejected',
};

/** A copy's id without what tells the copies apart. */
function logicalId({ id }: OutgoingMessage): string {
  return id.replace(/#[a-z0-9]*$/, '');
}

function idOf(delivery: Delivery): string {
  try {
    return decode(delivery).metadata.id;
  } catch {
    return delivery.position;
  }
}

function targetOf({ target }: OutgoingMessage): string {
  return 'topic' in target ? target.topic : `${target.queue}/${target.lane}`;
}
