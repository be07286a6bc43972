import type { SNSClient } from '@aws-sdk/client-sns';
import type { SQSClient } from '@aws-sdk/client-sqs';
import {
  type Admin,
  byDeadline,
  type Capabilities,
  type Driver,
  type Lane,
  type OutgoingMessage,
  type Page,
  type Queue,
  type SubscribeOptions,
  type Subscription,
  type Topology,
  WaybillError,
} from '@waybill/core/driver';
import { SqsAdmin } from './sqs-admin.ts';
import { SqsClients } from './sqs-client.ts';
import { SqsDeadLane } from './sqs-dead-lane.ts';
import { SqsLookup } from './sqs-lookup.ts';
import { checkOptions, MAX_HOLD_MS, type Settings, type SqsOptions } from './sqs-options.ts';
import { SqsPublisher } from './sqs-publisher.ts';
import { SqsSubscription } from './sqs-subscription.ts';

export interface SqsDriver extends Driver {
  readonly admin: Admin;
  browse(queue: Queue, after: string | undefined, max: number): Promise<Page>;
  /** The AWS SDK's client, for what Waybill has no word for. It tries nothing twice. */
  readonly client: SQSClient;
  /** Undefined with the option `topics: false`. */
  readonly snsClient: SNSClient | undefined;
}

/** Connects nowhere yet; throws INVALID_ARGUMENT listing every problem of the options. */
export function sqs(options: SqsOptions = {}): SqsDriver {
  return new SqsSnsDriver(checkOptions(options));
}

/** What a subscription has to end that was refused. */
const REFUSED_CLOSE_MS = 1_000;
/** Names, types and escapes of attributes, which the core does not count. */
const ATTRIBUTE_ROOM = 4_096;
/** The redrive policy's: a backstop for what no process survives long enough to dead-letter. */
const MAX_DELIVERIES = 100;

const LIMITS: Driver['limits'] = {
  send: { count: 100, bytes: 2_621_440, concurrency: 8, everyMs: 0 },
  receive: { count: 1_000, bytes: Number.POSITIVE_INFINITY, concurrency: 1, everyMs: 0 },
  settle: { count: 100, bytes: Number.POSITIVE_INFINITY, concurrency: 4, everyMs: 0 },
};

class SqsSnsDriver implements SqsDriver {
  readonly spec = 1;
  readonly name = 'sqs';
  readonly capabilities: Capabilities;
  readonly limits = LIMITS;
  readonly admin: Admin;
  readonly #settings: Settings;
  readonly #clients: SqsClients;
  readonly #lookup: SqsLookup;
  readonly #sqsAdmin: SqsAdmin;
  readonly #publisher: SqsPublisher;
  readonly #deadLane: SqsDeadLane;
  readonly #subscriptions = new Set<SqsSubscription>();
  #closing: Promise<void> | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.capabilities = capabilitiesOf(settings);
    this.#clients = new SqsClients(settings);
    this.#lookup = new SqsLookup(this.#clients, settings);
    this.#publisher = new SqsPublisher(this.#clients, this.#lookup, settings);
    this.#deadLane = new SqsDeadLane(this.#clients, this.#lookup, settings);
    const sqsAdmin = new SqsAdmin(this.#clients, this.#lookup, settings);
    this.#sqsAdmin = sqsAdmin;
    this.admin = {
      apply: (topology, signal) => {
        this.#lookup.learnTopology(topology);
        return sqsAdmin.apply(topology, signal);
      },
      depth: (queue) => sqsAdmin.depth(queue),
      purge: (queue, lane) => sqsAdmin.purge(queue, lane),
    };
  }

  get client(): SQSClient {
    return this.#clients.sqs;
  }

  get snsClient(): SNSClient | undefined {
    return this.#clients.sns;
  }

  async send(batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> {
    this.#assertOpen();
    await this.#publisher.send(batch, signal);
  }

  async subscribe(queue: Queue, lane: Lane, options: SubscribeOptions): Promise<Subscription> {
    this.#assertOpen();
    this.#lookup.learnQueueKind(queue.name, queue.ordered);
    const source = { clients: this.#clients, lookup: this.#lookup, settings: this.#settings, queue, lane };
    const subscription = new SqsSubscription(source, options);
    this.#subscriptions.add(subscription);
    void subscription.closed.then(() => this.#subscriptions.delete(subscription));
    try {
      await subscription.open();
    } catch (error) {
      this.#subscriptions.delete(subscription);
      await subscription.close(Date.now() + REFUSED_CLOSE_MS);
      throw error;
    }
    return subscription;
  }

  async verify(topology: Topology, signal: AbortSignal): Promise<readonly string[]> {
    this.#lookup.learnTopology(topology);
    return this.#sqsAdmin.verify(topology, signal);
  }

  browse(queue: Queue, after: string | undefined, max: number): Promise<Page> {
    return this.#deadLane.browse(queue, after, max);
  }

  close(deadlineMs: number): Promise<void> {
    this.#closing ??= this.#close(deadlineMs);
    return this.#closing;
  }

  async #close(deadlineMs: number): Promise<void> {
    const open = [...this.#subscriptions].map((subscription) => subscription.close(deadlineMs));
    await byDeadline(deadlineMs, Promise.allSettled([...open, this.#deadLane.close()]));
    this.#clients.destroy();
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new WaybillError('CLOSED', 'This driver of SQS is closed. Make another.');
  }
}

function capabilitiesOf(settings: Settings): Capabilities & { readonly topics: boolean } {
  return {
    ordering: 'key',
    filtersTypes: true,
    topics: settings.topics,
    reject: 'none',
    envelope: settings.envelope,
    // What SQS does not delay so long in one step, the driver delays again.
    maxDelayMs: Number.POSITIVE_INFINITY,
    delayErrorMs: 2_500,
    maxHoldMs: MAX_HOLD_MS,
    maxMessageBytes: settings.maxMessageBytes - ATTRIBUTE_ROOM,
    maxDeliveries: MAX_DELIVERIES,
    leaseMs: settings.leaseMs,
  };
}
