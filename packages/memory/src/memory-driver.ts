import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type Admin,
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
import { toDelivery } from './holdings.ts';
import { MemoryAdmin } from './memory-admin.ts';
import { MemoryBroker } from './memory-broker.ts';
import { Connection, type MemoryConnection } from './memory-connection.ts';
import { checkOrdering, findQueue } from './memory-find.ts';
import { type MemoryOptions, type Settings, toSettings } from './memory-options.ts';
import { messageBytes, storeBatch } from './memory-send.ts';
import { MemorySubscription } from './memory-subscription.ts';
import { boundTypes, compareTopology } from './memory-topology.ts';

/** A driver with its faults and its broker beside it. */
export interface MemoryDriver extends Driver {
  readonly connection: MemoryConnection;
  readonly broker: MemoryBroker;
}

/**
 * A broker in this process, or one client of a shared one (`broker`). Throws INVALID_ARGUMENT with every problem of the
 * options at once. Bodies are kept by reference: do not write to one after it was sent or received.
 */
export function memory(options: MemoryOptions = {}): MemoryDriver {
  const settings = toSettings(options);
  const broker = options.broker ?? new MemoryBroker(options.clock === undefined ? {} : { clock: options.clock });
  return new InProcessDriver(new Connection(broker, settings), options);
}

class InProcessDriver implements MemoryDriver {
  readonly spec = 1;
  readonly name = 'memory';
  readonly connection: Connection;
  declare readonly browse?: NonNullable<Driver['browse']>;
  declare readonly boundTypes?: NonNullable<Driver['boundTypes']>;
  declare readonly admin?: Admin;

  constructor(connection: Connection, options: MemoryOptions) {
    this.connection = connection;
    if (options.browse !== false) this.browse = (queue, after, max) => browseDead(connection, queue, { after, max });
    if (!connection.settings.capabilities.filtersTypes) {
      this.boundTypes = async (queue, types) => readBindings(connection, queue, types);
    }
    if (options.admin !== false) this.admin = new MemoryAdmin(connection);
  }

  get broker(): MemoryBroker {
    return this.connection.broker;
  }

  get capabilities(): Settings['capabilities'] {
    return this.connection.settings.capabilities;
  }

  get limits(): Settings['limits'] {
    return this.connection.settings.limits;
  }

  async send(batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> {
    this.connection.check();
    if (signal.aborted) {
      throw new WaybillError('UNAVAILABLE', 'The send was aborted before it began: nothing is stored.', {
        cause: signal.reason,
      });
    }
    const open = this.connection.sendGate.pass(batch.length, totalBytes(batch));
    storeBatch(this.connection, batch);
    // A broker takes a turn at least: a loop that publishes lets everything else have its turn.
    await (open ?? nextTurn());
  }

  async subscribe(wanted: Queue, lane: Lane, options: SubscribeOptions): Promise<Subscription> {
    this.connection.check();
    checkOrdering(this.capabilities.ordering, [wanted]);
    const queue = findQueue(this.connection, wanted);
    const { missing, conflicts } = compareTopology(this.broker, { topics: [], queues: [wanted] });
    if (missing.length > 0) throw new WaybillError('NOT_FOUND', `${missing.join(' ')} Create it, or run apply.`);
    if (conflicts.length > 0) throw new WaybillError('CONFLICT', conflicts.join(' '));
    return new MemorySubscription(this.connection, { queue, lane }, options);
  }

  async verify(topology: Topology, _signal: AbortSignal): Promise<readonly string[]> {
    this.connection.check();
    const { missing, conflicts } = compareTopology(this.broker, topology);
    return [...missing, ...conflicts];
  }

  async close(_deadlineMs: number): Promise<void> {
    this.connection.close();
  }
}

async function browseDead(
  connection: Connection,
  queue: Queue,
  page: { readonly after: string | undefined; readonly max: number },
): Promise<Page> {
  connection.check();
  if (page.max <= 0) return { letters: [] };
  const lane = findQueue(connection, queue).dead;
  const found = lane.after(Number(page.after ?? 0), page.max + 1);
  const letters = found.slice(0, page.max).map((stored) => toDelivery(stored, lane.position(stored), 0));
  const last = found[page.max - 1];
  return found.length > page.max && last !== undefined ? { letters, after: String(last.sequence) } : { letters };
}

function readBindings(connection: Connection, queue: Queue, types: readonly string[]): readonly string[] {
  connection.check();
  return boundTypes(connection.broker, findQueue(connection, queue), types);
}

function totalBytes(batch: readonly OutgoingMessage[]): number {
  return batch.reduce((sum, message) => sum + messageBytes(message), 0);
}
