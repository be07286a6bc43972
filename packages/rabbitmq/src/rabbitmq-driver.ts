import type {
  Admin,
  Capabilities,
  Driver,
  Lane,
  OutgoingMessage,
  Page,
  Queue,
  SubscribeOptions,
  Subscription,
  Topology,
} from '@waybill/core/driver';
import type { ChannelModel } from 'amqplib';
import { RabbitmqAdmin } from './rabbitmq-admin.ts';
import { RabbitmqConnection } from './rabbitmq-connection.ts';
import { RabbitmqDeadLane } from './rabbitmq-dead-lane.ts';
import { RabbitmqLock } from './rabbitmq-lock.ts';
import { RabbitmqLookup } from './rabbitmq-lookup.ts';
import { RabbitmqManagement } from './rabbitmq-management.ts';
import { checkOptions, type RabbitmqOptions, type Settings } from './rabbitmq-options.ts';
import { RabbitmqPublisher } from './rabbitmq-publisher.ts';
import { RabbitmqSubscription, type Source } from './rabbitmq-subscription.ts';
import { RabbitmqTrial } from './rabbitmq-trial.ts';
import { CONSUMER_TIMEOUT_MS, DELIVERY_LIMIT } from './rabbitmq-topology.ts';
import { entityOf } from './to-rabbitmq-message.ts';

export interface RabbitmqDriver extends Driver {
  readonly admin: Admin;
  browse(queue: Queue, after: string | undefined, max: number): Promise<Page>;
  /** amqplib's publishing connection, for what Waybill has no word for. Connects when there is none. */
  connection(): Promise<ChannelModel>;
}

/** Connects nowhere yet; rejects with INVALID_ARGUMENT listing every problem of the options. */
export function rabbitmq(options: RabbitmqOptions): RabbitmqDriver {
  return new Rabbitmq(checkOptions(options));
}

class Rabbitmq implements RabbitmqDriver {
  readonly spec = 1;
  readonly name = 'rabbitmq';
  readonly capabilities: Capabilities;
  readonly limits: Driver['limits'] = {
    send: { count: 500, bytes: 4_194_304, concurrency: 3, everyMs: 0 },
    receive: { count: 1_000, bytes: Number.POSITIVE_INFINITY, concurrency: 1, everyMs: 0 },
    settle: { count: 1_000, bytes: Number.POSITIVE_INFINITY, concurrency: 1, everyMs: 0 },
  };
  readonly admin: RabbitmqAdmin;
  readonly #publishing: RabbitmqConnection;
  /** Apart, so that a broker that holds publishers back (a memory alarm) still takes acknowledgements. */
  readonly #consuming: RabbitmqConnection;
  readonly #lookup: RabbitmqLookup;
  readonly #lock: RabbitmqLock;
  readonly #deadLane: RabbitmqDeadLane;
  readonly #publisher: RabbitmqPublisher;

  constructor(settings: Settings) {
    this.capabilities = capabilitiesOf(settings);
    this.#publishing = new RabbitmqConnection(settings, 'publish');
    this.#consuming = new RabbitmqConnection(settings, 'consume');
    this.#lookup = new RabbitmqLookup(this.#consuming);
    this.#lock = new RabbitmqLock(this.#consuming);
    this.#deadLane = new RabbitmqDeadLane(this.#consuming, this.#lock);
    const lookup = new RabbitmqLookup(this.#publishing);
    this.#publisher = new RabbitmqPublisher(this.#publishing, lookup, settings.maxMessageBytes);
    const management = settings.management === undefined ? undefined : new RabbitmqManagement(settings.management);
    this.admin = new RabbitmqAdmin(this.#lookup, this.#lock, management);
  }

  connection(): Promise<ChannelModel> {
    return this.#publishing.model();
  }

  send(batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> {
    return this.#publisher.send(batch, signal);
  }

  async subscribe(queue: Queue, lane: Lane, options: SubscribeOptions): Promise<Subscription> {
    const subscription = new RabbitmqSubscription(this.#sourceOf(queue, lane), options);
    await subscription.open();
    return subscription;
  }

  verify(topology: Topology, signal: AbortSignal): Promise<readonly string[]> {
    return this.admin.verify(topology, signal);
  }

  browse(queue: Queue, after: string | undefined, max: number): Promise<Page> {
    return this.#deadLane.browse(queue, after, max);
  }

  async close(deadlineMs: number): Promise<void> {
    await Promise.all([this.#publishing.close(deadlineMs), this.#consuming.close(deadlineMs)]);
  }

  #sourceOf(queue: Queue, lane: Lane): Source {
    const name = entityOf({ queue: queue.name, lane });
    const source = { connection: this.#consuming, queue: name, lane };
    if (lane === 'dead') return { ...source, trial: undefined, lock: () => this.#lock.take(queue.name) };
    const ports = { channels: this.#lookup.channels, send: this.send.bind(this) };
    return { ...source, trial: queue.ordered ? new RabbitmqTrial(ports, queue.name) : undefined, lock: undefined };
  }
}

function capabilitiesOf({ envelope, maxDelayMs, maxMessageBytes }: Settings): Capabilities {
  return {
    ordering: 'one-process',
    filtersTypes: true,
    reject: 'bare',
    envelope,
    maxDelayMs,
    // A delay is rounded up by 1,024 ms at most, and passes up to 25 levels.
    delayErrorMs: 1_200,
    // The broker looks once a minute.
    maxHoldMs: CONSUMER_TIMEOUT_MS - 600_000,
    maxMessageBytes,
    maxDeliveries: DELIVERY_LIMIT,
  };
}
