import { setMaxListeners } from 'node:events';
import type { Admin, Depth, Lane, Queue, Topology } from '@waybill/core/driver';
import type { SqsClients } from './sqs-client.ts';
import { differences, lacks } from './sqs-differences.ts';
import type { SqsLookup } from './sqs-lookup.ts';
import { deadEntity, delayEntity, workEntity } from './sqs-names.ts';
import type { Settings } from './sqs-options.ts';
import { SqsProvision } from './sqs-provision.ts';
import { SqsQueues } from './sqs-queues.ts';
import { SqsSubscriptions } from './sqs-subscriptions.ts';
import { type Survey, Surveyor } from './sqs-survey.ts';
import { type Entities, entitiesOf } from './sqs-topology.ts';

export class SqsAdmin implements Admin {
  readonly #calls: { readonly queues: SqsQueues; readonly sns: SqsSubscriptions };
  readonly #lookup: SqsLookup;
  readonly #settings: Settings;

  constructor(clients: SqsClients, lookup: SqsLookup, settings: Settings) {
    this.#calls = { queues: new SqsQueues(clients, lookup), sns: new SqsSubscriptions(clients, lookup) };
    this.#lookup = lookup;
    this.#settings = settings;
  }

  async apply(topology: Topology, signal: AbortSignal): Promise<readonly string[]> {
    const entities = this.#entitiesOf(topology);
    const survey = await this.#survey(entities, signal);
    // What may not be looked at cannot be told from what is missing.
    if (survey.denied[0] !== undefined) throw survey.denied[0];
    const { maxMessageBytes } = this.#settings;
    return await new SqsProvision(this.#calls, entities, survey, { maxMessageBytes, signal }).run();
  }

  /** What may not be looked at is not reported. */
  async verify(topology: Topology, signal: AbortSignal): Promise<readonly string[]> {
    const entities = this.#entitiesOf(topology);
    const survey = await this.#survey(entities, signal);
    return [...lacks(entities, survey), ...differences(entities, survey, this.#settings.maxMessageBytes)];
  }

  async depth(queue: Queue): Promise<Depth> {
    const entities = [workEntity(queue), delayEntity(queue), deadEntity(queue)] as const;
    const [work, delay, dead] = await Promise.all([
      this.#calls.queues.counts(entities[0]),
      this.#calls.queues.counts(entities[1]),
      this.#calls.queues.counts(entities[2]),
    ]);
    return {
      ready: work.ready,
      inFlight: work.inFlight + delay.inFlight,
      delayed: work.delayed + delay.ready + delay.delayed,
      deadLettered: dead.ready + dead.inFlight + dead.delayed,
    };
  }

  async purge(queue: Queue, lane: Lane): Promise<void> {
    const entities = lane === 'dead' ? [deadEntity(queue)] : [workEntity(queue), delayEntity(queue)];
    await Promise.all(entities.map((entity) => this.#calls.queues.purge(entity)));
  }

  #survey(entities: Entities, signal: AbortSignal): Promise<Survey> {
    // Every call that is open listens to it.
    setMaxListeners(0, signal);
    return new Surveyor(this.#calls, entities, signal).run();
  }

  #entitiesOf(topology: Topology): Entities {
    for (const { name, ordered } of topology.queues) this.#lookup.learnQueueKind(name, ordered);
    const entities = entitiesOf(topology);
    return this.#settings.topics ? entities : { ...entities, topics: [], subscriptions: [] };
  }
}
