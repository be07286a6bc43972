import { expect, test } from 'vitest';
import { SqsClients } from '../src/sqs-client.ts';
import { SqsLookup } from '../src/sqs-lookup.ts';
import { checkOptions } from '../src/sqs-options.ts';
import { SqsQueues } from '../src/sqs-queues.ts';

// What AWS does and no server for tests: a queue that is found a while after it was made, and one purge a minute.

const URL_OF_BILLING = 'https://sqs.example.com/000000000000/billing';

type Answers = Readonly<Record<string, () => object>>;

/** Queues of an AWS that answers so; `calls` has what it was asked, in order. */
function queuesOn(answers: Answers): { readonly queues: SqsQueues; readonly calls: string[] } {
  const calls: string[] = [];
  const settings = checkOptions({ region: 'eu-central-1', credentials: { accessKeyId: 'a', secretAccessKey: 's' } });
  const clients = new SqsClients(settings);
  const send = (command: object): Promise<object> => {
    const name = command.constructor.name.replace('Command', '');
    calls.push(name);
    return Promise.resolve().then(() => answers[name]?.() ?? {});
  };
  Object.assign(clients.sqs, { send });
  Object.assign(clients.polls, { send });
  return { queues: new SqsQueues(clients, new SqsLookup(clients, settings)), calls };
}

function named(name: string): Error {
  return Object.assign(new Error(name), { name });
}

function failing(name: string): () => never {
  return () => {
    throw named(name);
  };
}

const signal = new AbortController().signal;

test('a queue that was made is waited for until it can be found', async () => {
  let asked = 0;
  const { queues, calls } = queuesOn({
    GetQueueUrl: () => {
      asked += 1;
      if (asked === 1) throw named('QueueDoesNotExist');
      return { QueueUrl: URL_OF_BILLING };
    },
    GetQueueAttributes: () => ({ Attributes: { DelaySeconds: '0' } }),
  });
  const { found, made } = await queues.create('billing', { DelaySeconds: '0' }, signal);
  expect(made).toBe(true);
  expect(found).toEqual({ url: URL_OF_BILLING, attributes: { DelaySeconds: '0' } });
  expect(calls).toEqual(['CreateQueue', 'GetQueueUrl', 'GetQueueUrl', 'GetQueueAttributes']);
});

test.each(['QueueNameExists', 'QueueAlreadyExists', 'com.amazonaws.sqs#QueueNameExists'])(
  'a queue that another process made with other settings (%s) is read, not made',
  async (name) => {
    const { queues } = queuesOn({
      CreateQueue: failing(name),
      GetQueueUrl: () => ({ QueueUrl: URL_OF_BILLING }),
      GetQueueAttributes: () => ({ Attributes: { DelaySeconds: '5' } }),
    });
    const { found, made } = await queues.create('billing', { DelaySeconds: '0' }, signal);
    expect(made).toBe(false);
    expect(found.attributes).toEqual({ DelaySeconds: '5' });
  },
);

test('any other failure to make a queue is told', async () => {
  const { queues } = queuesOn({ CreateQueue: failing('AccessDenied') });
  await expect(queues.create('billing', {}, signal)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
});

test('a queue whose settings may not be read is found, with the reason', async () => {
  const { queues } = queuesOn({
    GetQueueUrl: () => ({ QueueUrl: URL_OF_BILLING }),
    GetQueueAttributes: failing('AccessDenied'),
  });
  expect(await queues.find('billing', signal)).toMatchObject({
    url: URL_OF_BILLING,
    denied: { code: 'PERMISSION_DENIED' },
  });
});

test('a queue is purged with one call', async () => {
  const { queues, calls } = queuesOn({ GetQueueUrl: () => ({ QueueUrl: URL_OF_BILLING }) });
  await queues.purge('billing');
  expect(calls).toEqual(['GetQueueUrl', 'PurgeQueue']);
});

test('a second purge within a minute receives and deletes until nothing comes', async () => {
  const answers = [
    { Messages: [{ ReceiptHandle: 'a' }, { ReceiptHandle: 'b' }] },
    { Messages: [{ ReceiptHandle: 'c' }] },
  ];
  const { queues, calls } = queuesOn({
    GetQueueUrl: () => ({ QueueUrl: URL_OF_BILLING }),
    PurgeQueue: failing('PurgeQueueInProgress'),
    ReceiveMessage: () => answers.shift() ?? {},
  });
  await queues.purge('billing');
  const round = ['ReceiveMessage', 'DeleteMessageBatch'];
  expect(calls).toEqual(['GetQueueUrl', 'PurgeQueue', ...round, ...round, 'ReceiveMessage']);
});

test('a queue that is gone is looked up again the next time', async () => {
  const { queues, calls } = queuesOn({
    GetQueueUrl: () => ({ QueueUrl: URL_OF_BILLING }),
    GetQueueAttributes: failing('QueueDoesNotExist'),
  });
  await expect(queues.counts('billing')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await expect(queues.counts('billing')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  expect(calls.filter((name) => name === 'GetQueueUrl')).toHaveLength(2);
});
