import type { ServiceBusClient } from '@azure/service-bus';
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
} from '@waybill/core/driver';
import { ServiceBusAdmin } from './service-bus-admin.ts';
import { ServiceBusConnection } from './service-bus-connection.ts';
import { ServiceBusDeadLane } from './service-bus-dead-lane.ts';
import { checkOptions, type ServiceBusOptions, type Settings } from './service-bus-options.ts';
import { ServiceBusPublisher } from './service-bus-publisher.ts';
import { ServiceBusSubscription } from './service-bus-subscription.ts';
import { placesOf } from './service-bus-topology.ts';
import { verifyTopology } from './service-bus-verify.ts';
import { SessionSubscription } from './session-subscription.ts';

export interface ServiceBusDriver extends Driver {
  browse(queue: Queue, after: string | undefined, max: number): Promise<Page>;
  /** The client of `@azure/service-bus` that publishes, for what Waybill has no word for. After a lost connection it is another. */
  readonly client: ServiceBusClient;
}

/** Connects nowhere yet; throws INVALID_ARGUMENT listing every problem of the options. */
export function serviceBus(options: ServiceBusOptions): ServiceBusDriver {
  return new AzureServiceBus(checkOptions(options));
}

/** What the protocol adds to body and headers: ids, annotations, and the batch around one message. */
const OVERHEAD_BYTES = 2_048;

class AzureServiceBus implements ServiceBusDriver {
  readonly spec = 1;
  readonly name = 'service-bus';
  readonly capabilities: Capabilities;
  readonly limits: Driver['limits'];
  readonly admin?: Admin;
  readonly #publishing: ServiceBusConnection;
  /** Apart, so that a connection given up by one does not take the locks of sessions with it. */
  readonly #consuming: ServiceBusConnection;
  readonly #publisher: ServiceBusPublisher;
  readonly #deadLane: ServiceBusDeadLane;
  readonly #subscriptions = new Set<Subscription>();

  constructor(settings: Settings) {
    this.capabilities = capabilitiesOf(settings);
    const { maxMessageBytes } = this.capabilities;
    this.limits = {
      // A batch of one entity fits into one transfer; several are open at once, and what is not can still be refused.
      send: { count: 500, bytes: Math.min(maxMessageBytes, 200_000), concurrency: 4, everyMs: 0 },
      receive: { count: 1_000, bytes: Number.POSITIVE_INFINITY, concurrency: 1, everyMs: 0 },
      settle: { count: 1_000, bytes: Number.POSITIVE_INFINITY, concurrency: 4, everyMs: 0 },
    };
    this.#publishing = new ServiceBusConnection(settings);
    this.#consuming = new ServiceBusConnection(settings);
    this.#publisher = new ServiceBusPublisher(this.#publishing, maxMessageBytes);
    this.#deadLane = new ServiceBusDeadLane(this.#consuming);
    if (settings.management) this.admin = new ServiceBusAdmin(this.#consuming);
  }

  get client(): ServiceBusClient {
    return this.#publishing.life().client;
  }

  send(batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> {
    return this.#publisher.send(batch, signal);
  }

  async subscribe(queue: Queue, lane: Lane, options: SubscribeOptions): Promise<Subscription> {
    const source = { connection: this.#consuming, lane, places: placesOf(queue, lane) };
    const subscription =
      queue.ordered && lane === 'work'
        ? new SessionSubscription(this.#consuming, queue.name, options)
        : new ServiceBusSubscription(source, options);
    this.#subscriptions.add(subscription);
    try {
      await subscription.open();
    } catch (cause) {
      this.#subscriptions.delete(subscription);
      await subscription.close(Date.now());
      throw cause;
    }
    return subscription;
  }

  verify(topology: Topology, signal: AbortSignal): Promise<readonly string[]> {
    return verifyTopology(topology, { connection: this.#consuming, publisher: this.#publisher }, signal);
  }

  browse(queue: Queue, after: string | undefined, max: number): Promise<Page> {
    return this.#deadLane.browse(queue, after, max);
  }

  async close(deadlineMs: number): Promise<void> {
    const closing = Promise.allSettled([...this.#subscriptions].map((subscription) => subscription.close(deadlineMs)));
    await byDeadline(deadlineMs, closing);
    this.#subscriptions.clear();
    await Promise.all([this.#publishing.close(deadlineMs), this.#consuming.close(deadlineMs)]);
  }
}

function capabilitiesOf({ envelope, leaseMs, maxDelayMs, maxMessageBytes, maxDeliveries }: Settings): Capabilities {
  return {
    ordering: 'key',
    filtersTypes: true,
    reject: 'annotated',
    envelope,
    maxDelayMs,
    delayErrorMs: 2_000,
    maxHoldMs: Number.POSITIVE_INFINITY,
    maxMessageBytes: maxMessageBytes - OVERHEAD_BYTES,
    maxDeliveries,
    leaseMs,
  };
}
