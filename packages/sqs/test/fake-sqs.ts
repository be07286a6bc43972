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

/** A receive that waits. */
export interface FakePoll {
  readonly input: { readonly QueueUrl: string; readonly MaxNumberOfMessages: number };
  answer(...messages: readonly Message[]): Promise<void>;
  fail(error: Error): Promise<void>;
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
  const polls: FakePoll[] = [];
  const poll = (command: { input: FakePoll['input'] }): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const answer = (...Messages: readonly Message[]): Promise<void> => {
        polls.splice(polls.indexOf(open), 1);
        resolve({ Messages });
        return new Promise((next) => setImmediate(next));
      };
      const fail = (error: Error): Promise<void> => {
        polls.splice(polls.indexOf(open), 1);
        reject(error);
        return new Promise((next) => setImmediate(next));
      };
      const open: FakePoll = { input: command.input, answer, fail };
      polls.push(open);
    });
  const clients = {
    sqs: { send },
    polls: { send: poll },
    call: async <T>(_: string, run: () => Promise<T>): Promise<T> => run(),
  };
  return { clients: clients as unknown as SqsClients, calls, polls };
}

export function received(
  name: string,
  { url = 'q', leaseUntil = Date.now() + 30_000, group }: { url?: string; leaseUntil?: number; group?: string } = {},
): SqsDelivery {
  return new SqsDelivery(stored(name, group), { url, lane: 'work', leaseUntil });
}

/** As a server hands it out. */
export function stored(name: string, group?: string): Message {
  const Attributes = group === undefined ? {} : { MessageGroupId: group, MessageDeduplicationId: name };
  return { MessageId: name, ReceiptHandle: name, Body: name, Attributes };
}
