// A stand-in for SNS, for servers that have queues only: scenarios publish, and their proof is about the queues.
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { wrapDriver } from '@waybill/conformance';
import type { Driver } from '@waybill/core';
import { type Admin, BatchError, type OutgoingMessage, type Topology, WaybillError } from '@waybill/core/driver';

/** One line of the file that all processes of a session read: a topic, and a queue that is bound to it. */
interface Line {
  readonly topic: string;
  readonly queue?: string;
  readonly types?: readonly string[];
}

interface Sent {
  readonly message: OutgoingMessage;
  /** In the batch of the core. */
  readonly index: number;
}

/** `driver` with topics: what is sent to one is sent to the queues that `file` says are bound to it. */
export function withFanOut(driver: Driver & { readonly admin: Admin }, file: string): Driver {
  const { admin } = driver;
  return wrapDriver(driver, {
    capabilities: { ...driver.capabilities, topics: true },
    send: (batch, signal) => sendAll(driver, fanOut(batch, readLines(file)), { size: batch.length, signal }),
    verify: async (topology, signal) => [
      ...missingOf(topology, readLines(file)),
      ...(await driver.verify(queuesOf(topology), signal)),
    ],
    admin: {
      apply: async (topology, signal) => {
        const made = await admin.apply(queuesOf(topology), signal);
        const missing = missingOf(topology, readLines(file));
        if (missing.length > 0)
          appendFileSync(
            file,
            linesOf(topology)
              .map((line) => `${JSON.stringify(line)}\n`)
              .join(''),
          );
        return [...made, ...missing.map((sentence) => `${sentence} It does now.`)];
      },
      depth: (queue) => admin.depth(queue),
      purge: (queue, lane) => admin.purge(queue, lane),
    },
  });
}

function fanOut(batch: readonly OutgoingMessage[], lines: readonly Line[]): readonly (Sent | number)[] {
  return batch.flatMap((message, index): readonly (Sent | number)[] => {
    const { target, type } = message;
    if ('queue' in target) return [{ message, index }];
    const own = lines.filter(({ topic }) => topic === target.topic);
    if (own.length === 0) return [index];
    const bound = new Set(own.flatMap(({ queue, types }) => (types?.includes(type) === true ? (queue ?? []) : [])));
    return [...bound].map((queue) => ({ message: { ...message, target: { queue, lane: 'work' } }, index }));
  });
}

async function sendAll(
  driver: Driver,
  entries: readonly (Sent | number)[],
  { size, signal }: { readonly size: number; readonly signal: AbortSignal },
): Promise<void> {
  const sent = entries.filter((entry) => typeof entry !== 'number');
  const failed = new Map<number, WaybillError>();
  for (const entry of entries) {
    if (typeof entry === 'number') failed.set(entry, new WaybillError('NOT_FOUND', 'The topic does not exist.'));
  }
  if (sent.length > 0) {
    await driver
      .send(
        sent.map(({ message }) => message),
        signal,
      )
      .catch((error: unknown) => {
        if (!BatchError.is(error)) throw error;
        for (const failure of error.failures) failed.set(sent[failure.index]?.index ?? 0, failure.error);
      });
  }
  if (failed.size > 0)
    throw new BatchError(
      [...failed].map(([index, error]) => ({ index, error })),
      size,
    );
}

function queuesOf({ queues }: Topology): Topology {
  return { topics: [], queues: queues.map((queue) => ({ ...queue, bindings: [] })) };
}

function linesOf({ topics, queues }: Topology): readonly Line[] {
  return [
    ...topics.map(({ name }) => ({ topic: name })),
    ...queues.flatMap(({ name, bindings }) =>
      bindings.map(({ topic, types }) => ({ topic: topic.name, queue: name, types })),
    ),
  ];
}

function missingOf(topology: Topology, lines: readonly Line[]): readonly string[] {
  return linesOf(topology).flatMap(({ topic, queue, types = [] }) => {
    const own = lines.filter((line) => line.topic === topic);
    if (queue === undefined) return own.length === 0 ? [`Topic "${topic}" does not exist.`] : [];
    const bound = new Set(own.filter((line) => line.queue === queue).flatMap((line) => line.types ?? []));
    const missing = types.filter((type) => !bound.has(type));
    return missing.length === 0 ? [] : [`Queue "${queue}" does not get ${missing.join(', ')} of topic "${topic}".`];
  });
}

function readLines(file: string): readonly Line[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Line]));
}
