import {
  type Admin,
  type Depth,
  type Lane,
  type Queue,
  type Topic,
  type Topology,
  WaybillError,
} from '@waybill/core/driver';
import type { Redis } from 'ioredis';
import type { RedisConnection } from './redis-connection.ts';
import { boundKey, delayedKey, GROUP, streamKey, TOPICS } from './redis-keys.ts';
import { DEPTH } from './redis-scripts.ts';

/** One thing that must be there. */
interface Part {
  readonly missing: string;
  readonly made: string;
  readonly exists: (client: Redis) => Promise<boolean>;
  /** False when it was there already. */
  readonly make: (client: Redis) => Promise<boolean>;
}

export class RedisTopology implements Admin {
  readonly #connection: RedisConnection;

  constructor(connection: RedisConnection) {
    this.#connection = connection;
  }

  async apply(topology: Topology, _signal: AbortSignal): Promise<readonly string[]> {
    const different = await this.#differences(topology);
    if (different.length > 0) throw new WaybillError('CONFLICT', `${different.join(' ')} Use another name.`);
    const made: string[] = [];
    for (const part of partsOf(topology)) {
      if (await this.#use(part.make)) made.push(part.made);
    }
    return made;
  }

  async verify(topology: Topology): Promise<readonly string[]> {
    const parts = partsOf(topology);
    const there = await this.#use((client) => Promise.all(parts.map(({ exists }) => exists(client))));
    return [
      ...parts.filter((_, index) => there[index] === false).map(({ missing }) => missing),
      ...(await this.#differences(topology)),
    ];
  }

  async depth({ name }: Queue): Promise<Depth> {
    const keys = [streamKey(name, 'work'), delayedKey(name, 'work'), streamKey(name, 'dead')];
    const counts = await this.#connection.run(DEPTH, { attempted: `count queue "${name}"`, keys });
    const [ready = 0, inFlight = 0, delayed = 0, deadLettered = 0] = counts as readonly number[];
    return { ready, inFlight, delayed, deadLettered };
  }

  /** What is handed out is lost with the rest. */
  async purge({ name }: Queue, lane: Lane): Promise<void> {
    const stream = streamKey(name, lane);
    await this.#use((client) =>
      client.multi().del(stream, delayedKey(name, lane)).xgroup('CREATE', stream, GROUP, '0', 'MKSTREAM').exec(),
    );
  }

  async #differences({ topics }: Topology): Promise<readonly string[]> {
    if (topics.length === 0) return [];
    const kept = await this.#use((client) => client.hmget(TOPICS, ...topics.map(({ name }) => name)));
    return topics.flatMap((topic, index) =>
      [null, keyedOrNot(topic)].includes(kept[index] ?? null)
        ? []
        : [`Topic "${topic.name}" is ${kept[index]}, not ${keyedOrNot(topic)}.`],
    );
  }

  #use<T>(work: (client: Redis) => Promise<T>): Promise<T> {
    return this.#connection.use(work, { attempted: 'look after the topology' });
  }
}

function partsOf({ topics, queues }: Topology): readonly Part[] {
  return [
    ...topics.map(topicPart),
    ...queues.flatMap(({ name, bindings }) => [
      lanePart(name, 'work'),
      lanePart(name, 'dead'),
      ...bindings.flatMap(({ topic, types }) => types.map((type) => bindingPart(name, topic.name, type))),
    ]),
  ];
}

function topicPart(topic: Topic): Part {
  const { name } = topic;
  return {
    missing: `Topic "${name}" is missing.`,
    made: `Created topic "${name}".`,
    exists: async (client) => (await client.hexists(TOPICS, name)) === 1,
    make: async (client) => (await client.hsetnx(TOPICS, name, keyedOrNot(topic))) === 1,
  };
}

function lanePart(queue: string, lane: Lane): Part {
  const stream = streamKey(queue, lane);
  const what = lane === 'dead' ? `The dead lane of queue "${queue}"` : `Queue "${queue}"`;
  return {
    missing: `${what} is missing.`,
    made: `${what} was created.`,
    exists: async (client) => (await client.exists(stream)) === 1,
    async make(client) {
      try {
        await client.xgroup('CREATE', stream, GROUP, '0', 'MKSTREAM');
        return true;
      } catch (cause) {
        if (cause instanceof Error && cause.message.startsWith('BUSYGROUP')) return false;
        throw cause;
      }
    },
  };
}

function bindingPart(queue: string, topic: string, type: string): Part {
  return {
    missing: `Queue "${queue}" is not bound to topic "${topic}" for ${type}.`,
    made: `Bound queue "${queue}" to topic "${topic}" for ${type}.`,
    exists: async (client) => (await client.sismember(boundKey(topic, type), queue)) === 1,
    make: async (client) => (await client.sadd(boundKey(topic, type), queue)) === 1,
  };
}

const keyedOrNot = ({ keyed }: Topic): string => (keyed ? 'keyed' : 'not keyed');
