import { WaybillError } from '../driver/errors.ts';
import { checkName } from '../driver/names.ts';
import type { CommandContract, Contract, KeyedContract } from './contract.ts';

/** The durable backlog of one named consumer: what {@link defineQueue} returns. */
export interface QueueContract<C extends Contract = Contract> {
  readonly name: string;
  readonly ordered: boolean;
  readonly handles: readonly C[];
}

/** The commands among what a queue handles. */
export type CommandOf<Q extends QueueContract> = Extract<Q['handles'][number], CommandContract>;

interface QueueOptions<C extends Contract, Ordered extends boolean> {
  readonly handles: readonly C[];
  /** Messages of one key and topic are handled one after the other. @default false */
  readonly ordered?: Ordered;
}

/** Defines a queue and what its consumer handles. Throws INVALID_ARGUMENT for what could not work. */
export function defineQueue<C extends KeyedContract>(
  name: string,
  options: QueueOptions<C, boolean> & { readonly ordered: true },
): QueueContract<C>;
export function defineQueue<C extends Contract>(name: string, options: QueueOptions<C, false>): QueueContract<C>;
export function defineQueue<C extends Contract>(name: string, options: QueueOptions<C, boolean>): QueueContract<C> {
  checkName('queue', name);
  const handles = options?.handles;
  if (!Array.isArray(handles) || handles.length === 0) refuse(name, 'handles nothing: list its contracts in `handles`');
  const ordered = options.ordered ?? false;
  const seen = new Set<string>();
  if (typeof ordered !== 'boolean') refuse(name, 'has an `ordered` that is neither true nor false');
  for (const contract of options.handles) {
    if (!isContract(contract)) refuse(name, 'handles something that is no contract');
    if (seen.has(contract.type)) refuse(name, `lists "${contract.type}" twice`);
    seen.add(contract.type);
    if (ordered && !contract.keyed) refuse(name, `is ordered but "${contract.type}" has no key: add keyedBy`);
  }
  checkKeyedTopics(options.handles);
  return Object.freeze({ name, ordered, handles: Object.freeze([...options.handles]) });
}

/** All contracts of a topic have a key, or none has: on most brokers it is a fact of the topic. */
export function checkKeyedTopics(contracts: Iterable<Contract>): void {
  const first = new Map<string, Contract>();
  for (const contract of contracts) {
    if (!('topic' in contract) || typeof contract.topic !== 'string') continue;
    const other = first.get(contract.topic) ?? contract;
    first.set(contract.topic, other);
    if (other.keyed === contract.keyed) continue;
    const [keyed, bare] = contract.keyed ? [contract, other] : [other, contract];
    throw new WaybillError(
      'INVALID_ARGUMENT',
      `Topic "${contract.topic}" has "${keyed.type}" with a key and "${bare.type}" without: key all of a topic, or none.`,
    );
  }
}

/** Whether it was made by {@link defineEvent} or {@link defineCommand}. */
export function isContract(value: unknown): value is Contract {
  return typeof value === 'object' && value !== null && 'versions' in value && 'type' in value && 'kind' in value;
}

function refuse(name: string, problem: string): never {
  throw new WaybillError('INVALID_ARGUMENT', `Queue "${name}" ${problem}.`);
}
