import type { Message, SQSClient } from '@aws-sdk/client-sqs';
import { decode, encode } from '../envelope.ts';
import { gathered } from '../gather.ts';
import type { Consumer, Handle, Publisher, Setting, Side } from '../side.ts';
import { attributesOf, BATCH, connect, POLL_SECONDS, seconds, urlOf, VISIBILITY_SECONDS } from './client.ts';
import type { SqsPlace } from './sqs.ts';

const SENDS_OPEN = 8;

/** The client by hand, with all that is known to make it fast: tens, eight at a time, and receives that refill. */
export const side: Side<SqsPlace> = {
  name: '@aws-sdk/client-sqs',
  kind: 'raw',
  packages: ['@aws-sdk/client-sqs'],
  notes: { storm: 'hidden for a second by hand; it comes again with no word of why' },
  publisher,
  consumer,
};

async function publisher({ descriptor, queue, sample }: Setting<SqsPlace>): Promise<Publisher> {
  const { SendMessageBatchCommand } = await import('@aws-sdk/client-sqs');
  const client = await connect(descriptor);
  const QueueUrl = await urlOf(client, queue);
  const MessageAttributes = attributesOf(sample);
  const send = gathered({
    size: BATCH,
    open: SENDS_OPEN,
    store: async (bodies: readonly string[]) => {
      const Entries = bodies.map((MessageBody, index) => ({ Id: String(index), MessageBody, MessageAttributes }));
      const { Failed = [] } = await client.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
      if (Failed.length > 0) throw new Error(`${Failed.length} of ${bodies.length} failed`);
    },
  });
  return {
    publish: async (order) => send(encode(sample, order).body),
    close: async () => client.destroy(),
  };
}

async function consumer(setting: Setting<SqsPlace>, handle: Handle): Promise<Consumer> {
  const client = await connect(setting.descriptor);
  const { receive, remove, hide } = await calls(client, setting);
  const asked = new Set<Promise<void>>();
  let isOpen = true;
  const ask = (call: Promise<void>): void => {
    asked.add(call);
    void call.finally(() => asked.delete(call));
  };
  const work = async (message: Message): Promise<void> => {
    const { ReceiptHandle = '' } = message;
    try {
      await handle(decode(message.Body ?? ''));
      ask(remove(ReceiptHandle));
    } catch {
      ask(hide(ReceiptHandle));
    }
  };
  /** It receives again once its ten are handled; as many are open as there may be messages in hand, and none waits for deletes. */
  const poll = async (): Promise<void> => {
    while (isOpen) await Promise.all((await receive()).map(work));
  };
  const polls = Array.from({ length: setting.concurrency / BATCH }, poll);
  return {
    close: async () => {
      isOpen = false;
      await Promise.all(polls);
      await Promise.all(asked);
      client.destroy();
    },
  };
}

interface Calls {
  readonly receive: () => Promise<readonly Message[]>;
  readonly remove: (receipt: string) => Promise<void>;
  /** Until its retry. */
  readonly hide: (receipt: string) => Promise<void>;
}

async function calls(client: SQSClient, { queue, retryDelayMs }: Setting<SqsPlace>): Promise<Calls> {
  const { ChangeMessageVisibilityBatchCommand, DeleteMessageBatchCommand, ReceiveMessageCommand } =
    await import('@aws-sdk/client-sqs');
  const QueueUrl = await urlOf(client, queue);
  const tens = { size: BATCH, open: Number.POSITIVE_INFINITY };
  const VisibilityTimeout = seconds(retryDelayMs);
  return {
    receive: async () => {
      const { Messages = [] } = await client.send(
        new ReceiveMessageCommand({
          QueueUrl,
          MaxNumberOfMessages: BATCH,
          WaitTimeSeconds: POLL_SECONDS,
          VisibilityTimeout: VISIBILITY_SECONDS,
          MessageAttributeNames: ['All'],
          MessageSystemAttributeNames: ['All'],
        }),
      );
      return Messages;
    },
    remove: gathered({
      ...tens,
      store: (receipts: readonly string[]) => {
        const Entries = receipts.map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle }));
        return client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
      },
    }),
    hide: gathered({
      ...tens,
      store: (receipts: readonly string[]) => {
        const Entries = receipts.map((ReceiptHandle, index) => ({
          Id: String(index),
          ReceiptHandle,
          VisibilityTimeout,
        }));
        return client.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries }));
      },
    }),
  };
}
