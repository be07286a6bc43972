import type { BatchResultErrorEntry, Message } from '@aws-sdk/client-sqs';
import type { SqsClients } from '../src/sqs-client.ts';
import { SqsDelivery } from '../src/from-sqs-message.ts';

export interface Call {
  readonly name: string;
  readonly url: string;
  /** Receipt handles, in their order. */
  readonly handles: readonly string[];
  readonly visibility: number | undefined;
}

interface Entry {
  readonly Id: string;
  readonly ReceiptHandle: string;
  readonly VisibilityTimeout?: number;
}

/** Answers batch requests without a server: what servers answer only now and then. */
export function fakeClients(failing: (handle: string, call: Call) => Partial<BatchResultErrorEntry> | undefined) {
  const calls: Call[] = [];
  const send = async (command: { input: { QueueUrl: string; Entries: Entry[] } }): Promise<unknown> => {
    const { QueueUrl: url, Entries } = command.input;
    const call: Call = {
      name: command.constructor.name.replace('Command', ''),
      url,
      handles: Entries.map(({ ReceiptHandle }) => ReceiptHandle),
      visibility: Entries[0]?.VisibilityTimeout,
    };
    calls.push(call);
    await new Promise((resolve) => setImmediate(resolve));
    const Failed = Entries.flatMap(({ Id, ReceiptHandle }) => {
      const problem = failing(ReceiptHandle, call);
      return problem === undefined ? [] : [{ Id, ...problem }];
    });
    return { Failed };
  };
  const clients = { sqs: { send }, call: async <T>(_: string, run: () => Promise<T>): Promise<T> => run() };
  return { clients: clients as unknown as SqsClients, calls };
}

export function received(
  name: string,
  { url = 'q', leaseUntil = Date.now() + 30_000, group }: { url?: string; leaseUntil?: number; group?: string } = {},
): SqsDelivery {
  const Attributes = group === undefined ? {} : { MessageGroupId: group, MessageDeduplicationId: name };
  const message: Message = { MessageId: name, ReceiptHandle: name, Body: name, Attributes };
  return new SqsDelivery(message, { url, lane: 'work', leaseUntil });
}
