import type { ServiceBusAdministrationClient } from '@azure/service-bus';
import { type Admin, type Depth, type Lane, type Queue, type Topology, WaybillError } from '@waybill/core/driver';
import { administrationFor, create, find, type Found, rulesOf } from './management.ts';
import { purgeLane } from './purge.ts';
import type { ServiceBusConnection } from './service-bus-connection.ts';
import { toWaybillError } from './service-bus-error.ts';
import { type Entity, entitiesOf, nameOf, type SubscriptionEntity } from './service-bus-topology.ts';

/** Needs the Manage right. */
export class ServiceBusAdmin implements Admin {
  readonly #client: ServiceBusAdministrationClient;
  readonly #connection: ServiceBusConnection;

  constructor(connection: ServiceBusConnection) {
    this.#connection = connection;
    this.#client = administrationFor(connection.settings);
  }

  async apply(topology: Topology, signal: AbortSignal): Promise<readonly string[]> {
    const made: string[] = [];
    for (const entity of entitiesOf(topology)) {
      const sentence = await this.#make(entity, signal);
      if (sentence !== undefined) made.push(sentence);
      if (entity.kind === 'subscription') made.push(...(await this.#addRules(entity, signal)));
    }
    return made;
  }

  async depth(queue: Queue): Promise<Depth> {
    const { name, bindings } = queue;
    try {
      const [own, ...subscriptions] = await Promise.all([
        this.#client.getQueueRuntimeProperties(name),
        ...bindings.map(({ topic }) => this.#client.getSubscriptionRuntimeProperties(topic.name, name)),
      ]);
      return {
        // Those in somebody's hands included: the broker does not tell them apart.
        ready: own.activeMessageCount,
        deadLettered: subscriptions.reduce(
          (sum, { deadLetterMessageCount }) => sum + deadLetterMessageCount,
          own.deadLetterMessageCount,
        ),
        delayed: own.scheduledMessageCount,
      };
    } catch (cause) {
      throw toWaybillError(cause, `count the messages of queue "${name}"`);
    }
  }

  async purge(queue: Queue, lane: Lane): Promise<void> {
    try {
      await purgeLane(this.#connection.life(), { queue, lane }, async () => (await this.depth(queue)).ready);
    } catch (cause) {
      throw toWaybillError(cause, `purge lane ${lane} of queue "${queue.name}"`);
    }
  }

  async #make(entity: Entity, signal: AbortSignal): Promise<string | undefined> {
    const found = await find(this.#client, entity, signal);
    if (found !== undefined) {
      this.#compare(entity, found);
      return undefined;
    }
    try {
      await create(this.#client, entity, this.#connection.settings, signal);
      return `Created ${entity.kind} "${nameOf(entity)}".`;
    } catch (cause) {
      if (!WaybillError.is(cause) || cause.code !== 'ALREADY_EXISTS') throw cause;
      const other = await find(this.#client, entity, signal);
      if (other !== undefined) this.#compare(entity, other);
      return undefined;
    }
  }

  async #addRules(entity: SubscriptionEntity, signal: AbortSignal): Promise<readonly string[]> {
    const { topic, name } = entity;
    const made: string[] = [];
    const there = new Set<string>();
    try {
      for await (const rule of this.#client.listRules(topic, name, { abortSignal: signal })) there.add(rule.name);
      for (const { name: rule, filter } of rulesOf(entity)) {
        if (there.has(rule)) continue;
        await this.#client.createRule(topic, name, rule, filter, { abortSignal: signal });
        made.push(`Created rule "${rule}" of subscription "${topic}/${name}".`);
      }
    } catch (cause) {
      const error = toWaybillError(cause, `bind queue "${name}" to topic "${topic}"`);
      // Another process of the same consumer starts at this moment: its rules are ours.
      if (error.code === 'ALREADY_EXISTS') return [...made, ...(await this.#addRules(entity, signal))];
      throw error;
    }
    if (there.has('$Default')) throw conflict(entity, 'it has the rule "$Default", which lets every type pass');
    return made;
  }

  #compare(entity: Entity, found: Found): void {
    const problem = differenceOf(entity, found, this.#connection.settings.maxDeliveries);
    if (problem !== undefined) throw conflict(entity, problem);
  }
}

/** What is there and can never be changed, or would break a promise. Lock durations may differ: each lock says its end. */
function differenceOf(entity: Entity, found: Found, maxDeliveries: number): string | undefined {
  if (entity.kind === 'topic') return undefined;
  const requiresSession = entity.kind === 'queue' && entity.requiresSession;
  if (found.requiresSession !== requiresSession) {
    return `sessions: wanted ${String(requiresSession)} but current is ${String(found.requiresSession)}`;
  }
  if (
    entity.kind === 'subscription' &&
    found.forwardTo?.split('/').at(-1)?.toLowerCase() !== entity.name.toLowerCase()
  ) {
    return `forwardTo: wanted "${entity.name}" but current is "${found.forwardTo ?? ''}"`;
  }
  return found.maxDeliveryCount < maxDeliveries
    ? `maxDeliveryCount: wanted ${maxDeliveries} but current is ${found.maxDeliveryCount}`
    : undefined;
}

function conflict(entity: Entity, problem: string): WaybillError {
  return new WaybillError(
    'CONFLICT',
    `The ${entity.kind} "${nameOf(entity)}" exists with other settings (${problem}). Nothing was changed: change it, or delete it when it is empty.`,
  );
}
