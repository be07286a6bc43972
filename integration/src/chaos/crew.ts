import type { WorkerModule } from '@waybill/conformance';
import type { Journal } from './journal.ts';
import { ledgerFile, processesIn, readLedger } from './ledger.ts';
import { Member } from './member.ts';
import type { Start } from './order.ts';
import { CONSUMERS, type ConsumerName, PROCESSES, PUBLISHERS, type Workload } from './workload.ts';

export interface CrewOptions {
  readonly workload: Workload;
  readonly journal: Journal;
  readonly folder: string;
  readonly module: WorkerModule;
  readonly prefix: string;
  readonly durationMs: number;
  readonly mutant?: string | undefined;
}

/** All processes of a run. */
export class Crew {
  readonly publishers: readonly Member[];
  readonly consumers: Readonly<Record<ConsumerName, readonly Member[]>>;
  readonly #held = new Map<ConsumerName, Promise<void>>();

  constructor(options: CrewOptions) {
    const { journal, mutant } = options;
    const member = (name: string, role: () => Start['role'], consumer?: ConsumerName): Member =>
      new Member(name, {
        journal,
        mutant,
        restartable: async () => (consumer === undefined ? undefined : this.#held.get(consumer)),
        startOf: (process) => startOf(options, process, role()),
      });
    this.publishers = range(PUBLISHERS).map((publisher) => {
      const name = `publisher-${publisher + 1}`;
      return member(name, () => publisherRole(options, publisher, name));
    });
    const consumersOf = (consumer: ConsumerName): readonly Member[] =>
      range(PROCESSES).map((nth) => member(`${consumer}-${nth + 1}`, () => ({ is: 'consumer', consumer }), consumer));
    this.consumers = { ordered: consumersOf('ordered'), concurrent: consumersOf('concurrent') };
  }

  get members(): readonly Member[] {
    return [...this.publishers, ...CONSUMERS.flatMap((name) => this.consumers[name])];
  }

  /** Resolves once all consume, and publishers have begun. */
  async start(): Promise<void> {
    await Promise.all(CONSUMERS.flatMap((name) => this.consumers[name].map((member) => member.start())));
    await Promise.all(this.publishers.map((member) => member.start()));
  }

  /** Until what it returns is called, no process of the consumer that died is started again. */
  holdRestarts(consumer: ConsumerName): () => void {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#held.set(consumer, held);
    return release;
  }
}

function startOf(options: CrewOptions, process: string, role: Start['role']): Start {
  const { workload, folder, module, prefix } = options;
  const { messages, seed } = workload;
  return { do: 'start', module, prefix, messages, seed, folder, process, role };
}

function publisherRole({ workload, durationMs, folder }: CrewOptions, publisher: number, name: string): Start['role'] {
  const turns = workload.turns(publisher);
  return { is: 'publisher', publisher, fromTurn: begun(folder, name), rate: (turns * 1_000) / durationMs };
}

/** How many messages a publisher has begun to publish, in all its lives: it begins them in order. */
function begun(folder: string, name: string): number {
  let intents = 0;
  for (const process of processesIn(folder, `${name}.`)) {
    for (const { kind } of readLedger(ledgerFile(folder, process))) if (kind === 'intent') intents += 1;
  }
  return intents;
}

function range(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index);
}
