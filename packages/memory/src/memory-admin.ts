import type { Admin, Depth, Lane, Queue, Topology } from '@waybill/core/driver';
import type { Connection } from './memory-connection.ts';
import { checkOrdering, findQueue } from './memory-find.ts';
import { applyTopology, type QueueFacts } from './memory-topology.ts';

export class MemoryAdmin implements Admin {
  readonly #connection: Connection;
  readonly #facts: QueueFacts;

  constructor(connection: Connection) {
    const { capabilities, deduplicationMs } = connection.settings;
    const { filtersTypes, ordering } = capabilities;
    this.#connection = connection;
    this.#facts = { rule: ordering === 'none' ? 'any' : ordering, filtersTypes, deduplicationMs };
  }

  async apply(topology: Topology, _signal: AbortSignal): Promise<readonly string[]> {
    this.#connection.check();
    checkOrdering(this.#connection.settings.capabilities.ordering, topology.queues);
    return applyTopology(this.#connection.broker, topology, this.#facts);
  }

  async depth(queue: Queue): Promise<Depth> {
    this.#connection.check();
    return findQueue(this.#connection, queue).depth();
  }

  async purge(queue: Queue, lane: Lane): Promise<void> {
    this.#connection.check();
    findQueue(this.#connection, queue).lane(lane).purge();
  }
}
