import {
  type Admin,
  deadName,
  type Depth,
  type Lane,
  type Queue,
  type Topology,
  untilAborted,
  WaybillError,
} from '@waybill/core/driver';
import type { Channel, Options } from 'amqplib';
import { replyCode, toWaybillError } from './rabbitmq-error.ts';
import type { RabbitmqLock } from './rabbitmq-lock.ts';
import type { RabbitmqLookup } from './rabbitmq-lookup.ts';
import type { RabbitmqManagement } from './rabbitmq-management.ts';
import { type Entity, entitiesOf, type ExchangeEntity } from './rabbitmq-topology.ts';
import { entityOf } from './to-rabbitmq-message.ts';

export class RabbitmqAdmin implements Admin {
  readonly #lookup: RabbitmqLookup;
  readonly #lock: RabbitmqLock;
  readonly #management: RabbitmqManagement | undefined;

  constructor(lookup: RabbitmqLookup, lock: RabbitmqLock, management: RabbitmqManagement | undefined) {
    this.#lookup = lookup;
    this.#lock = lock;
    this.#management = management;
  }

  async apply(topology: Topology, signal: AbortSignal): Promise<readonly string[]> {
    const made: string[] = [];
    const seen = new Set<string>();
    for (const entity of entitiesOf(topology)) {
      const key = JSON.stringify(entity);
      if (seen.has(key)) continue;
      seen.add(key);
      const sentence = await untilAborted(
        this.#make(entity),
        signal,
        `apply the topology: it got to ${entity.kind} "${entity.name}"`,
      );
      if (sentence !== undefined) made.push(sentence);
    }
    return made;
  }

  /** Missing entities; with the management API also missing bindings and settings that differ. */
  async verify(topology: Topology, signal: AbortSignal): Promise<readonly string[]> {
    const problems = new Set<string>();
    for (const entity of entitiesOf(topology)) {
      const problem = await untilAborted(this.#problemOf(entity), signal, 'verify the topology');
      if (problem !== undefined) problems.add(problem);
    }
    return [...problems];
  }

  async depth(queue: Queue): Promise<Depth> {
    const [ready, deadLettered, inFlight] = await Promise.all([
      this.#count(queue.name),
      this.#count(deadName(queue.name)),
      this.#management?.unacknowledged(queue.name),
    ]);
    return { ready, deadLettered, ...(inFlight === undefined ? {} : { inFlight }) };
  }

  async purge(queue: Queue, lane: Lane): Promise<void> {
    const name = entityOf({ queue: queue.name, lane });
    const unlock = lane === 'dead' ? await this.#lock.take(queue.name) : undefined;
    try {
      await this.#lookup.channels.with((channel) => channel.purgeQueue(name));
    } catch (cause) {
      throw toWaybillError(cause, `purge queue "${name}"`);
    } finally {
      await unlock?.();
    }
  }

  async #count(name: string): Promise<number> {
    const count = await this.#lookup.count(name);
    if (count !== undefined) return count;
    throw new WaybillError(
      'NOT_FOUND',
      `Queue "${name}" does not exist on RabbitMQ. Create it, or apply the topology.`,
    );
  }

  /** Declaring says nothing about whether it was there, so that is asked first. Returns what it made. */
  async #make(entity: Entity): Promise<string | undefined> {
    const existed = entity.kind === 'binding' || (await this.#lookup.exists(entity.kind, entity.name));
    try {
      await this.#lookup.channels.with((channel) => declare(channel, entity));
    } catch (cause) {
      if (replyCode(cause) === 406) throw conflict(entity, cause);
      throw toWaybillError(cause, `create ${entity.kind} "${entity.name}"`);
    }
    return existed ? undefined : `Created ${entity.kind} "${entity.name}".`;
  }

  async #problemOf(entity: Entity): Promise<string | undefined> {
    if (entity.kind !== 'binding' && !(await this.#lookup.exists(entity.kind, entity.name))) {
      return `${entity.kind === 'queue' ? 'Queue' : 'Exchange'} "${entity.name}" is missing.`;
    }
    return this.#management?.differenceOf(entity);
  }
}

function settingsOf({ arguments: settings }: ExchangeEntity): Options.AssertExchange {
  return { durable: true, arguments: settings };
}

async function declare(channel: Channel, entity: Entity): Promise<void> {
  const { kind, name } = entity;
  if (kind === 'queue') await channel.assertQueue(name, { durable: true, arguments: entity.arguments });
  else if (kind === 'exchange') await channel.assertExchange(name, entity.type, settingsOf(entity));
  else if (entity.to === 'queue') await channel.bindQueue(entity.name, entity.source, entity.pattern);
  else await channel.bindExchange(entity.name, entity.source, entity.pattern);
}

/** RabbitMQ names one difference: "inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': received '100' but current is '20'". */
function conflict(entity: Entity, cause: unknown): WaybillError {
  const [, setting, difference] =
    /inequivalent arg '([^']+)' for .*?: received (.*?)"?$/s.exec((cause as Error).message) ?? [];
  const what =
    setting === undefined
      ? toWaybillError(cause, `create ${entity.kind} "${entity.name}"`).message
      : `${setting}: wanted ${difference}`;
  return new WaybillError(
    'CONFLICT',
    `The ${entity.kind} "${entity.name}" exists with other settings (${what}). Nothing was changed: delete it when it is empty, or keep it and use another name.`,
    { cause },
  );
}
