import {
  type BatchResultErrorEntry,
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
} from '@aws-sdk/client-sqs';
import { BatchError, type BatchFailure, type Settlement, systemClock, WaybillError } from '@waybill/core/driver';
import type { SqsDelivery } from './from-sqs-message.ts';
import type { SqsClients } from './sqs-client.ts';
import { entryError } from './sqs-error.ts';
import { lanesOf, tensOf } from './sqs-lanes.ts';

/** Batch requests of one call that are open at once. */
const MOST_OPEN = 10;

interface Item {
  readonly index: number;
  readonly delivery: SqsDelivery;
}

/** One native request for up to ten deliveries of one queue; resolves with the entries that failed. */
type Request = (url: string, ten: readonly Item[]) => Promise<readonly BatchResultErrorEntry[]>;

/** Ends deliveries, or keeps them longer, ten to a request. */
export class SqsSettler {
  readonly #clients: SqsClients;
  readonly #leaseMs: number;

  constructor(clients: SqsClients, leaseMs: number) {
    this.#clients = clients;
    this.#leaseMs = leaseMs;
  }

  /** Rejects with BatchError. A lease that is over is LEASE_LOST unasked: a standard queue takes an old handle too. */
  async settle(batch: readonly Settlement[]): Promise<void> {
    const now = systemClock.now();
    const failures: BatchFailure[] = [];
    const accepted: Item[] = [];
    const released: Item[] = [];
    for (const [index, { delivery, action }] of batch.entries()) {
      const item = { index, delivery: delivery as SqsDelivery };
      if (delivery.leaseUntil <= now) failures.push({ index, error: leaseLost(delivery.position) });
      else (action === 'accept' ? accepted : released).push(item);
    }
    const fail = (item: Item, error: WaybillError): void => void failures.push({ index: item.index, error });
    await Promise.all([
      this.#each(accepted, 'delete messages that were handled', this.#delete, fail),
      this.#each(released, 'give messages back', this.#giveBack, fail),
    ]);
    if (failures.length === 0) return;
    throw new BatchError(
      failures.toSorted((left, right) => left.index - right.index),
      batch.length,
    );
  }

  /** The new `leaseUntil` by index, 0 where lost; rejects where SQS did not say. */
  async extend(deliveries: readonly SqsDelivery[]): Promise<readonly number[]> {
    const now = systemClock.now();
    const leases = deliveries.map(() => 0);
    let unsaid: WaybillError | undefined;
    const items = deliveries
      .map((delivery, index) => ({ delivery, index }))
      .filter(({ delivery }) => delivery.leaseUntil > now);
    const extend: Request = async (url, ten) => {
      const until = systemClock.now() + this.#leaseMs;
      const failed = await this.#changeVisibility(url, ten, Math.ceil(this.#leaseMs / 1_000));
      const lost = new Set(failed.map(({ Id }) => Id));
      for (const { index, delivery } of ten) {
        if (lost.has(String(index))) continue;
        delivery.leaseUntil = until;
        leases[index] = until;
      }
      return failed;
    };
    await this.#each(items, 'extend leases', extend, (_, error) => {
      if (error.retryable) unsaid = error;
    });
    if (unsaid !== undefined) throw unsaid;
    return leases;
  }

  /** Back to the queue now, what is of one group in its order. What cannot be given back comes when its lease is over. */
  async release(deliveries: readonly SqsDelivery[]): Promise<void> {
    const now = systemClock.now();
    const items = deliveries
      .map((delivery, index) => ({ delivery, index }))
      .filter(({ delivery }) => delivery.leaseUntil > now);
    await this.#each(items, 'give messages back', this.#giveBack, () => undefined);
  }

  /** Removes messages; resolves with the error of the first that could not be. */
  async delete(deliveries: readonly SqsDelivery[]): Promise<WaybillError | undefined> {
    let first: WaybillError | undefined;
    const items = deliveries.map((delivery, index) => ({ delivery, index }));
    await this.#each(items, 'delete messages that were moved', this.#delete, (_, error) => {
      first ??= error;
    });
    return first;
  }

  async #each(
    items: readonly Item[],
    attempted: string,
    request: Request,
    fail: (item: Item, error: WaybillError) => void,
  ): Promise<void> {
    if (items.length === 0) return;
    // Only what comes again needs its order.
    const groupOf = ({ delivery }: Item): string | undefined =>
      request === this.#giveBack ? delivery.group : undefined;
    const lanes = [...byUrl(items)].flatMap(([url, ofUrl]) =>
      lanesOf(ofUrl, MOST_OPEN, groupOf).map((lane) => ({ url, lane })),
    );
    await Promise.all(
      lanes.map(async ({ url, lane }) => {
        for (const ten of tensOf(lane)) {
          const errors = await this.#ask(url, ten, attempted, request);
          for (const item of ten) {
            const error = errors(item);
            if (error !== undefined) fail(item, error);
          }
        }
      }),
    );
  }

  /** What became of each: a request that failed failed for all of its entries. */
  async #ask(
    url: string,
    ten: readonly Item[],
    attempted: string,
    request: Request,
  ): Promise<(item: Item) => WaybillError | undefined> {
    try {
      const failed = await this.#clients.call(attempted, () => request(url, ten));
      if (failed.length === 0) return () => undefined;
      const errors = new Map(failed.map((entry) => [entry.Id, entryError(entry, attempted)]));
      return ({ index }) => errors.get(String(index));
    } catch (error) {
      return () => error as WaybillError;
    }
  }

  readonly #delete: Request = async (url, ten) => {
    const { Failed } = await this.#clients.sqs.send(
      new DeleteMessageBatchCommand({ QueueUrl: url, Entries: ten.map((item) => handleOf(item)) }),
    );
    return Failed ?? [];
  };

  readonly #giveBack: Request = (url, ten) => this.#changeVisibility(url, ten, 0);

  async #changeVisibility(
    url: string,
    ten: readonly Item[],
    seconds: number,
  ): Promise<readonly BatchResultErrorEntry[]> {
    const Entries = ten.map((item) => ({ ...handleOf(item), VisibilityTimeout: seconds }));
    const { Failed } = await this.#clients.sqs.send(
      new ChangeMessageVisibilityBatchCommand({ QueueUrl: url, Entries }),
    );
    return Failed ?? [];
  }
}

function handleOf({ index, delivery }: Item): { readonly Id: string; readonly ReceiptHandle: string } {
  return { Id: String(index), ReceiptHandle: delivery.receiptHandle };
}

function byUrl(items: readonly Item[]): ReadonlyMap<string, readonly Item[]> {
  const first = (items[0] as Item).delivery.url;
  if (items.every(({ delivery }) => delivery.url === first)) return new Map([[first, items]]);
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const known = groups.get(item.delivery.url);
    if (known === undefined) groups.set(item.delivery.url, [item]);
    else known.push(item);
  }
  return groups;
}

function leaseLost(position: string): WaybillError {
  return new WaybillError('LEASE_LOST', `The lease of message ${position} was over before it was settled.`);
}
