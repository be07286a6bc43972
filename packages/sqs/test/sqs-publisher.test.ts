import type { PublishBatchCommand } from '@aws-sdk/client-sns';
import { GetQueueUrlCommand, SendMessageBatchCommand } from '@aws-sdk/client-sqs';
import type { BatchError, OutgoingMessage } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import type { SqsClients } from '../src/sqs-client.ts';
import { toWaybillError } from '../src/sqs-error.ts';
import { SqsLookup } from '../src/sqs-lookup.ts';
import { SqsPublisher } from '../src/sqs-publisher.ts';

interface Call {
  /** Queue url or topic ARN, less what all share. */
  readonly to: string;
  readonly ids: readonly string[];
}

type Answer = { readonly Failed?: readonly { Id: string; Code: string }[]; readonly Successful?: readonly object[] };
type Respond = (call: Call, signal: AbortSignal) => Answer | Promise<Answer>;

const never = new AbortController().signal;
const all = (): Answer => ({ Successful: Array.from({ length: 10 }, () => ({})) });

/** Stands for the SDK's clients: it hears every request and answers as it is told. */
function fake(respond: Respond = all): { readonly publisher: SqsPublisher; readonly calls: Call[] } {
  const calls: Call[] = [];
  const answer = (call: Call, signal: AbortSignal): Answer | Promise<Answer> => {
    calls.push(call);
    return respond(call, signal);
  };
  const send = async (
    command: unknown,
    { abortSignal = never }: { abortSignal?: AbortSignal } = {},
  ): Promise<unknown> => {
    if (command instanceof GetQueueUrlCommand) {
      const name = command.input.QueueName as string;
      if (name.startsWith('gone')) throw Object.assign(new Error('no queue'), { name: 'QueueDoesNotExist' });
      return { QueueUrl: `http://sqs/123456789012/${name}` };
    }
    if (command instanceof SendMessageBatchCommand) {
      const { QueueUrl = '', Entries = [] } = command.input;
      return answer({ to: QueueUrl.slice(QueueUrl.lastIndexOf('/') + 1), ids: Entries.map(bodyOf) }, abortSignal);
    }
    const { TopicArn = '', PublishBatchRequestEntries = [] } = (command as PublishBatchCommand).input;
    const ids = PublishBatchRequestEntries.map(({ Message }) => Message as string);
    return answer({ to: TopicArn, ids }, abortSignal);
  };
  const clients = {
    sqs: { send, config: { region: () => Promise.resolve('eu-central-1') } },
    sns: { send },
    call: (attempted: string, run: () => Promise<unknown>) =>
      run().catch((error: unknown) => {
        throw toWaybillError(error, attempted);
      }),
  } as unknown as SqsClients;
  const lookup = new SqsLookup(clients, { accountId: '123456789012' });
  const topics = [
    { name: 'orders', keyed: false },
    { name: 'parts', keyed: true },
  ];
  const queues = ['billing', 'gone', 'ordered', 'gone.ordered'].map((name) => ({
    name,
    ordered: name.endsWith('ordered'),
    bindings: [],
  }));
  lookup.learnTopology({ topics, queues });
  return { publisher: new SqsPublisher(clients, lookup, { maxMessageBytes: 262_144 }), calls };
}

function bodyOf({ MessageBody }: { readonly MessageBody?: string | undefined }): string {
  return MessageBody as string;
}

function message(id: string, more: Partial<OutgoingMessage> = {}): OutgoingMessage {
  const target = { queue: 'billing', lane: 'work' } as const;
  return { target, id, type: 't', contentType: 'text/plain', body: Buffer.from(id), headers: {}, ...more };
}

function keyed(...ids: readonly string[]): OutgoingMessage[] {
  return ids.map((id) => message(id, { target: { queue: 'ordered', lane: 'work' }, key: id.charAt(0) }));
}

async function failuresOf(sending: Promise<void>): Promise<Record<number, string>> {
  const error = await sending.then(
    () => undefined,
    (reason: unknown) => reason as BatchError,
  );
  return Object.fromEntries((error?.failures ?? []).map((failure) => [failure.index, failure.error.code]));
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => `m${index}`);

describe('a batch', () => {
  test('goes in requests of ten', async () => {
    const { publisher, calls } = fake();
    await publisher.send(
      numbers(25).map((id) => message(id)),
      never,
    );
    expect(calls.map(({ ids }) => ids.length)).toEqual([10, 10, 5]);
    expect(calls.flatMap(({ ids }) => ids)).toEqual(numbers(25));
  });

  test('is split by where its messages go', async () => {
    const { publisher, calls } = fake();
    const later = Date.now() + 3_600_000;
    const targets: Partial<OutgoingMessage>[] = [
      { target: { topic: 'orders' } },
      { target: { topic: 'parts' }, key: 'k' },
      { target: { queue: 'billing', lane: 'work' } },
      { target: { queue: 'billing', lane: 'dead' } },
      { target: { queue: 'billing', lane: 'work' }, notBefore: later },
      { target: { queue: 'billing', lane: 'work' }, notBefore: Date.now() + 600_000 },
      { target: { queue: 'ordered', lane: 'work' }, key: 'k' },
      { target: { queue: 'ordered', lane: 'dead' }, key: 'k' },
      { target: { queue: 'ordered', lane: 'work' }, key: 'k', notBefore: Date.now() + 10_000 },
    ];
    await publisher.send(
      targets.map((more, index) => message(`m${index}`, more)),
      never,
    );
    expect(Object.fromEntries(calls.map(({ to, ids }) => [to, ids]))).toEqual({
      'arn:aws:sns:eu-central-1:123456789012:orders': ['m0'],
      'arn:aws:sns:eu-central-1:123456789012:parts.fifo': ['m1'],
      billing: ['m2', 'm5'],
      billing_dead: ['m3'],
      billing_delay: ['m4'],
      'ordered.fifo': ['m6'],
      'ordered_dead.fifo': ['m7'],
      ordered_delay: ['m8'],
    });
  });

  test('of large messages keeps each request within what the service takes', async () => {
    const { publisher, calls } = fake();
    const body = Buffer.alloc(100_000, 'x');
    await publisher.send(
      numbers(5).map((id) => message(id, { body })),
      never,
    );
    expect(calls.map(({ ids }) => ids.length)).toEqual([2, 2, 1]);
  });
});

describe('what fails', () => {
  test('is exactly the entries that an answer says have failed', async () => {
    const { publisher } = fake(() => ({
      ...all(),
      Failed: [
        { Id: '1', Code: 'InternalError' },
        { Id: '3', Code: 'RequestThrottled' },
      ],
    }));
    const batch = numbers(5).map((id) => message(id));
    expect(await failuresOf(publisher.send(batch, never))).toEqual({ 1: 'UNAVAILABLE', 3: 'THROTTLED' });
  });

  test('may be stored when the answer does not mention it', async () => {
    const { publisher } = fake(() => ({ Successful: [{ Id: '0' }], Failed: [{ Id: '2', Code: 'InternalError' }] }));
    const batch = numbers(3).map((id) => message(id));
    expect(await failuresOf(publisher.send(batch, never))).toEqual({ 1: 'TIMEOUT', 2: 'UNAVAILABLE' });
  });

  test('is what goes to a queue that does not exist, and nothing else', async () => {
    const { publisher, calls } = fake();
    const gone = { target: { queue: 'gone', lane: 'work' } } as const;
    const batch = [message('a'), message('b', gone), message('c')];
    expect(await failuresOf(publisher.send(batch, never))).toEqual({ 1: 'NOT_FOUND' });
    expect(calls).toEqual([{ to: 'billing', ids: ['a', 'c'] }]);
  });

  test('is one request of several', async () => {
    const { publisher } = fake(({ ids }) => {
      if (!ids.includes('m10')) return all();
      throw Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
    });
    const failures = await failuresOf(
      publisher.send(
        numbers(21).map((id) => message(id)),
        never,
      ),
    );
    expect(Object.keys(failures).map(Number)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    expect(new Set(Object.values(failures))).toEqual(new Set(['TIMEOUT']));
  });

  test('is what is too large, before it is sent', async () => {
    const { publisher, calls } = fake();
    const batch = [message('a', { body: Buffer.alloc(262_144, 'x') }), message('b')];
    expect(await failuresOf(publisher.send(batch, never))).toEqual({ 0: 'TOO_LARGE' });
    expect(calls).toEqual([{ to: 'billing', ids: ['b'] }]);
  });

  test('is what base64 makes too large for its later copies, but no copy', async () => {
    const { publisher, calls } = fake();
    const body = Buffer.alloc(192_000, 0xff);
    const batch = [message('a', { body }), message('b', { body, headers: { waybill: '{}' } })];
    expect(await failuresOf(publisher.send(batch, never))).toEqual({ 0: 'TOO_LARGE' });
    expect(calls).toHaveLength(1);
  });

  test('is one of ten when a server takes less in a request', async () => {
    const { publisher } = fake(({ ids }) => {
      if (ids.length === 1 && ids[0] !== 'm2') return all();
      throw Object.assign(new Error('too long'), { name: 'BatchRequestTooLong', $metadata: { httpStatusCode: 400 } });
    });
    expect(
      await failuresOf(
        publisher.send(
          numbers(4).map((id) => message(id)),
          never,
        ),
      ),
    ).toEqual({ 2: 'TOO_LARGE' });
  });
});

describe('messages of one key', () => {
  test('are never in one request, and never in two at a time', async () => {
    let open = 0;
    const { publisher, calls } = fake(async () => {
      expect((open += 1)).toBe(1);
      await Promise.resolve();
      open -= 1;
      return all();
    });
    await publisher.send(keyed('a1', 'b1', 'a2', 'a3', 'b2'), never);
    expect(calls.map(({ ids }) => ids)).toEqual([['a1', 'b1'], ['a2', 'b2'], ['a3']]);
  });

  test('stay in order when one fails: those behind it are not sent, others are', async () => {
    const { publisher, calls } = fake(({ ids }) => {
      const Id = String(ids.indexOf('a2'));
      return ids.includes('a2') ? { ...all(), Failed: [{ Id, Code: 'InternalError' }] } : all();
    });
    const sending = publisher.send(keyed('a1', 'b1', 'a2', 'b2', 'a3', 'a4', 'b3'), never);
    expect(await failuresOf(sending)).toEqual({ 2: 'UNAVAILABLE', 4: 'UNAVAILABLE', 5: 'UNAVAILABLE' });
    expect(calls.flatMap(({ ids }) => ids)).toEqual(['a1', 'b1', 'a2', 'b2', 'b3']);
  });
});

describe('an abort', () => {
  test('ends a request that is open: what it had may be stored', async () => {
    const controller = new AbortController();
    const { publisher } = fake((_, signal) => {
      queueMicrotask(() => controller.abort());
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(Object.assign(new Error('aborted'), { name: 'AbortError' })));
      });
    });
    expect(await failuresOf(publisher.send(keyed('a1', 'a2'), controller.signal))).toEqual({
      0: 'TIMEOUT',
      1: 'UNAVAILABLE',
    });
  });

  test('before anything was sent stores nothing', async () => {
    const { publisher, calls } = fake();
    expect(await failuresOf(publisher.send([message('a')], AbortSignal.abort()))).toEqual({ 0: 'UNAVAILABLE' });
    expect(calls).toEqual([]);
  });
});
