import type { CommandContract, Contract, EventContract } from '../contract/contract.ts';
import { checkKeyedTopics, isContract, type QueueContract } from '../contract/define-queue.ts';
import type { Binding, Driver, Queue, Topic, Topology } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import { checkName, physicalName } from '../driver/names.ts';

/** What `uses` takes. */
export type Used = EventContract | CommandContract | QueueContract;

/** What a bus knows: the contracts and queues of its `uses`, and the topology that follows from them. */
export class Registry {
  readonly topology: Topology;
  readonly #contracts = new Map<string, Contract>();
  readonly #queues = new Map<string, Queue>();
  readonly #definitions = new Map<string, QueueContract>();

  /** Throws INVALID_ARGUMENT for what contradicts itself and UNSUPPORTED for what the driver cannot do. */
  constructor(uses: readonly Used[], prefix: string, driver: Driver) {
    if (prefix !== '') checkName('prefix', prefix);
    for (const used of uses) {
      if ('handles' in used) this.#addQueue(used);
      else if (isContract(used)) this.#addContract(used);
      else throw new WaybillError('INVALID_ARGUMENT', '`uses` has something that is neither a contract nor a queue.');
    }
    const contracts = [...this.#contracts.values()];
    checkTopics(contracts, driver);
    checkKeyedTopics(contracts);
    this.#checkCommands();
    const topics = topicsOf(contracts, prefix);
    for (const definition of this.#definitions.values()) {
      this.#queues.set(definition.name, physicalQueue(definition, topics, prefix, driver));
    }
    this.topology = { topics: [...topics.values()], queues: [...this.#queues.values()] };
  }

  /** The broker's form of a queue. Throws INVALID_ARGUMENT for one that is not in `uses`. */
  queue(definition: QueueContract): Queue {
    const queue = this.#queues.get(definition.name);
    if (queue !== undefined && this.#definitions.get(definition.name) === definition) return queue;
    throw new WaybillError('INVALID_ARGUMENT', `Queue "${definition.name}" is not in this bus's \`uses\`: add it.`);
  }

  /** Throws INVALID_ARGUMENT unless the event may be published on this bus. */
  checkEvent(contract: Contract): void {
    if (contract.kind !== 'event') {
      throw new WaybillError(
        'INVALID_ARGUMENT',
        `"${contract.type}" is a command: send it to the queue that handles it.`,
      );
    }
    this.#checkKnown(contract);
  }

  /** Throws INVALID_ARGUMENT unless the command may be sent to the queue on this bus. */
  checkCommand(queue: QueueContract, contract: Contract): void {
    this.queue(queue);
    if (contract.kind === 'command' && queue.handles.includes(contract)) return;
    const why = contract.kind === 'event' ? 'is an event: publish it' : `is not handled by queue "${queue.name}"`;
    throw new WaybillError('INVALID_ARGUMENT', `"${contract.type}" ${why}.`);
  }

  #checkKnown(contract: Contract): void {
    if (this.#contracts.get(contract.type) === contract) return;
    throw new WaybillError('INVALID_ARGUMENT', `"${contract.type}" is not in this bus's \`uses\`: add it.`);
  }

  #addQueue(queue: QueueContract): void {
    const other = this.#definitions.get(queue.name);
    if (other !== undefined && other !== queue) {
      throw new WaybillError('INVALID_ARGUMENT', `Queue "${queue.name}" is defined twice: share one definition.`);
    }
    this.#definitions.set(queue.name, queue);
    for (const contract of queue.handles) this.#addContract(contract);
  }

  #addContract(contract: Contract): void {
    const other = this.#contracts.get(contract.type);
    if (other !== undefined && other !== contract) {
      throw new WaybillError('INVALID_ARGUMENT', `"${contract.type}" is defined twice: share one definition.`);
    }
    this.#contracts.set(contract.type, contract);
  }

  #checkCommands(): void {
    const owners = new Map<string, string>();
    for (const { name, handles } of this.#definitions.values()) {
      for (const { kind, type } of handles) {
        if (kind !== 'command') continue;
        const owner = owners.get(type);
        if (owner !== undefined) {
          throw new WaybillError(
            'INVALID_ARGUMENT',
            `The command "${type}" is handled by "${owner}" and "${name}": a command has one queue.`,
          );
        }
        owners.set(type, name);
      }
    }
  }
}

function checkTopics(contracts: readonly Contract[], { name, capabilities }: Driver): void {
  const event = capabilities.topics === false ? contracts.find(isEvent) : undefined;
  if (event === undefined) return;
  throw new WaybillError(
    'UNSUPPORTED',
    `"${event.type}" is an event, and ${name} has no topics here: use a broker that has them, or send commands.`,
  );
}

function topicsOf(contracts: readonly Contract[], prefix: string): ReadonlyMap<string, Topic> {
  const topics = new Map<string, Topic>();
  for (const contract of contracts) {
    if (!isEvent(contract)) continue;
    topics.set(contract.topic, {
      name: checkName('topic', physicalName(prefix, contract.topic)),
      keyed: contract.keyed,
    });
  }
  return topics;
}

function physicalQueue(
  { name, ordered, handles }: QueueContract,
  topics: ReadonlyMap<string, Topic>,
  prefix: string,
  driver: Driver,
): Queue {
  if (ordered && driver.capabilities.ordering === 'none') {
    throw new WaybillError(
      'UNSUPPORTED',
      `Queue "${name}" is ordered, which ${driver.name} cannot do: choose a broker that can, or drop \`ordered\`.`,
    );
  }
  const types = new Map<string, string[]>();
  for (const contract of handles) {
    if (isEvent(contract)) types.set(contract.topic, [...(types.get(contract.topic) ?? []), contract.type]);
  }
  const bindings: Binding[] = [];
  for (const [topic, bound] of types) {
    const known = topics.get(topic);
    if (known !== undefined) bindings.push({ topic: known, types: bound });
  }
  return { name: checkName('queue', physicalName(prefix, name)), ordered, bindings };
}

function isEvent(contract: Contract): contract is EventContract {
  return contract.kind === 'event';
}
