import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  PurgeQueueCommand,
  ReceiveMessageCommand,
  SetQueueAttributesCommand,
} from '@aws-sdk/client-sqs';
import { pause, systemClock, WaybillError } from '@waybill/core/driver';
import type { Attributes } from './sqs-attributes.ts';
import type { SqsClients } from './sqs-client.ts';
import type { SqsLookup } from './sqs-lookup.ts';

/** What there is of a queue; `denied` where the right to read its settings is missing. */
export type FoundQueue =
  | { readonly url: string; readonly attributes: Attributes; readonly denied?: undefined }
  | { readonly url: string; readonly attributes?: undefined; readonly denied: WaybillError };

/** SQS: "You must wait at least one second after the queue is created to be able to use the queue." */
const VISIBLE_AFTER_MS = 500;
const VISIBLE_TRIES = 10;
const PURGE_SECONDS = 30;

/** Queues as they are now: nothing of it is remembered but their urls. */
export class SqsQueues {
  readonly #clients: SqsClients;
  readonly #lookup: SqsLookup;

  constructor(clients: SqsClients, lookup: SqsLookup) {
    this.#clients = clients;
    this.#lookup = lookup;
  }

  /** Resolves with undefined when it does not exist. */
  async find(entity: string, signal: AbortSignal): Promise<FoundQueue | undefined> {
    this.#lookup.forget(entity);
    try {
      const url = await this.#lookup.queueUrl(entity, signal);
      return await this.#read(entity, url, signal);
    } catch (error) {
      if (WaybillError.is(error) && error.code === 'NOT_FOUND') return undefined;
      throw error;
    }
  }

  /** Resolves once it can be found, with whether this call made it: another process may have been quicker. */
  async create(
    entity: string,
    attributes: Record<string, string>,
    signal: AbortSignal,
  ): Promise<{ readonly found: FoundQueue; readonly made: boolean }> {
    const { sqs } = this.#clients;
    const command = new CreateQueueCommand({ QueueName: entity, Attributes: attributes });
    const made = await this.#clients.call(`create queue "${entity}"`, async () => {
      try {
        await sqs.send(command, { abortSignal: signal });
        return true;
      } catch (error) {
        // With other settings: which, and whether they matter, is seen in what it has.
        if (isNamed(error, /QueueNameExists|QueueAlreadyExists/)) return false;
        throw error;
      }
    });
    for (let tries = 0; tries < VISIBLE_TRIES && !signal.aborted; tries += 1) {
      const found = await this.find(entity, signal);
      if (found !== undefined) return { found, made };
      await pause(systemClock, VISIBLE_AFTER_MS, signal);
    }
    throw new WaybillError('UNAVAILABLE', `Queue "${entity}" was created and cannot be found yet. Try again.`);
  }

  async setPolicy(entity: string, { url }: FoundQueue, policy: string, signal: AbortSignal): Promise<void> {
    const command = new SetQueueAttributesCommand({ QueueUrl: url, Attributes: { Policy: policy } });
    await this.#clients.call(`set the policy of queue "${entity}"`, () =>
      this.#clients.sqs.send(command, { abortSignal: signal }),
    );
  }

  /** Messages by what they do: each an approximate number. */
  async counts(
    entity: string,
  ): Promise<{ readonly ready: number; readonly inFlight: number; readonly delayed: number }> {
    const QueueUrl = await this.#lookup.queueUrl(entity);
    const command = new GetQueueAttributesCommand({
      QueueUrl,
      AttributeNames: [
        'ApproximateNumberOfMessages',
        'ApproximateNumberOfMessagesNotVisible',
        'ApproximateNumberOfMessagesDelayed',
      ],
    });
    const attempted = `count the messages of queue "${entity}"`;
    const { Attributes: found = {} } = await this.#forgetting(entity, attempted, () => this.#clients.sqs.send(command));
    return {
      ready: Number(found['ApproximateNumberOfMessages'] ?? 0),
      inFlight: Number(found['ApproximateNumberOfMessagesNotVisible'] ?? 0),
      delayed: Number(found['ApproximateNumberOfMessagesDelayed'] ?? 0),
    };
  }

  /** SQS purges a queue once a minute; in between what can be received is deleted. */
  async purge(entity: string): Promise<void> {
    const QueueUrl = await this.#lookup.queueUrl(entity);
    const attempted = `purge queue "${entity}"`;
    const isPurged = await this.#forgetting(entity, attempted, async () => {
      try {
        await this.#clients.sqs.send(new PurgeQueueCommand({ QueueUrl }));
        return true;
      } catch (error) {
        if (isNamed(error, /PurgeQueueInProgress/)) return false;
        throw error;
      }
    });
    if (!isPurged) await this.#clients.call(attempted, () => this.#empty(QueueUrl));
  }

  async #empty(QueueUrl: string): Promise<void> {
    const { sqs, polls } = this.#clients;
    const receive = { QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: PURGE_SECONDS };
    for (;;) {
      const { Messages = [] } = await polls.send(new ReceiveMessageCommand(receive));
      if (Messages.length === 0) return;
      const Entries = Messages.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle }));
      await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
    }
  }

  async #read(entity: string, url: string, signal: AbortSignal): Promise<FoundQueue> {
    const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['All'] });
    try {
      const { Attributes: attributes } = await this.#clients.call(`read the settings of queue "${entity}"`, () =>
        this.#clients.sqs.send(command, { abortSignal: signal }),
      );
      return { url, attributes: attributes ?? {} };
    } catch (error) {
      if (!WaybillError.is(error) || error.code !== 'PERMISSION_DENIED') throw error;
      return { url, denied: error };
    }
  }

  async #forgetting<T>(entity: string, attempted: string, run: () => Promise<T>): Promise<T> {
    try {
      return await this.#clients.call(attempted, run);
    } catch (error) {
      if (WaybillError.is(error) && error.code === 'NOT_FOUND') this.#lookup.forget(entity);
      throw error;
    }
  }
}

/** By the name that a server gives an error, which differs between servers in what is around it. */
function isNamed(error: unknown, name: RegExp): boolean {
  const { name: found, Code } = (error ?? {}) as { readonly name?: unknown; readonly Code?: unknown };
  return name.test(`${String(found)} ${String(Code)}`);
}
