import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

import type { BatchError, WaybillError } from '@waybill/core/driver';
import { sqs, type SqsDriver, type SqsOptions } from '@waybill/sqs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';

import { freePort } from '../../src/index.ts';
import { localemuTest } from '../shared.ts';
import {
  errorOf,
  everythingOf,
  makeQueue,
  message,
  openDriver,
  optionsFor,
  elasticmqServer,
  localemuServer,
  soon,
  uniqueName,
  workOf,
} from './kit.ts';

const localemu = localemuServer();
const elasticmq = elasticmqServer();

const secret = 'hunter2/hunter2/hunter2';
const token = 'a-session-token-that-nobody-may-see';
const queue = { name: 'billing', ordered: false, bindings: [] };
const topic = { name: 'orders', keyed: false };

/** One sentence for each thing that a driver does, and what its error says. */
const calls: readonly (readonly [string, (driver: SqsDriver) => Promise<unknown>])[] = [
  ['send', (driver) => driver.send([message('a', workOf(queue))], soon())],
  ['publish', (driver) => driver.send([message('a', { topic: topic.name })], soon())],
  ['subscribe', (driver) => driver.subscribe(queue, 'work', { maxInFlight: 1, onLost: () => undefined })],
  ['apply', (driver) => driver.admin.apply({ topics: [topic], queues: [queue] }, soon())],
  ['depth', (driver) => driver.admin.depth(queue)],
  ['purge', (driver) => driver.admin.purge(queue, 'work')],
  ['browse', (driver) => driver.browse(queue, undefined, 10)],
];

function driverOf(options: SqsOptions): SqsDriver {
  const driver = sqs({ region: 'us-east-1', credentials: { accessKeyId: 'a', secretAccessKey: secret }, ...options });
  onTestFinished(() => driver.close(Date.now() + 2_000));
  return driver;
}

/** The error of the first message of a send, or of any other call. */
async function firstOf(run: Promise<unknown>): Promise<WaybillError> {
  const error = await errorOf(run);
  return (error as BatchError).failures?.[0]?.error ?? error;
}

function expectOneSentence({ message: text }: WaybillError): void {
  expect(text).toMatch(/^Could not .+: .+\. .+\.$/);
  expect(text).not.toMatch(/[\r\n]|undefined|\[object/);
}

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('wrong credentials', () => {
  localemuTest.each(calls)('make %s reject with PERMISSION_DENIED, and show no secret', async (_, call) => {
    const credentials = { accessKeyId: 'AKIAWRONGWRONGWRONG', secretAccessKey: secret, sessionToken: token };
    const driver = openDriver(localemu, { credentials });
    const error = await firstOf(call(driver));
    expect(error.code).toBe('PERMISSION_DENIED');
    expectOneSentence(error);
    expect(everythingOf(await errorOf(call(driver)))).not.toMatch(/hunter2|session-token|AKIAWRONGWRONGWRONG/);
  });

  localemuTest('without the right to send say so, of exactly the queue that it is missing for', async () => {
    const { queue: open } = await makeQueue(openDriver(localemu));
    const { queue: shut } = await makeQueue(openDriver(localemu));
    const allowed = `arn:aws:sqs:*:*:${open.name.replace('.', '_')}`;
    const credentials = await localemu.server?.createUser([
      { Effect: 'Allow', Action: 'sqs:GetQueueUrl', Resource: '*' },
      { Effect: 'Allow', Action: 'sqs:SendMessage', Resource: allowed },
    ]);
    const driver = openDriver(localemu, credentials === undefined ? {} : { credentials });
    await driver.send([message('a', workOf(open))], soon());
    const error = await errorOf(driver.send([message('a', workOf(shut)), message('b', workOf(open))], soon()));
    expect((error as BatchError).failures).toMatchObject([{ index: 0, error: { code: 'PERMISSION_DENIED' } }]);
    expect(error.message).toContain(shut.name.replace('.', '_'));
  });

  test('that are missing are PERMISSION_DENIED, and are not looked for twice', async () => {
    let asked = 0;
    const credentials = (): Promise<never> => {
      asked += 1;
      return Promise.reject(
        Object.assign(new Error('Could not load credentials from any providers'), { name: 'CredentialsProviderError' }),
      );
    };
    const error = await firstOf(
      driverOf({ ...optionsFor(elasticmq), credentials }).send([message('a', workOf(queue))], soon()),
    );
    expect(error.code).toBe('PERMISSION_DENIED');
    expectOneSentence(error);
    expect(asked).toBeLessThanOrEqual(2);
  });
});

describe('a wrong place', () => {
  test('with no region at all says which option is missing', async () => {
    for (const name of ['AWS_REGION', 'AWS_DEFAULT_REGION', 'AWS_PROFILE']) vi.stubEnv(name, undefined);
    vi.stubEnv('AWS_CONFIG_FILE', '/dev/null');
    onTestFinished(() => void vi.unstubAllEnvs());
    const driver = sqs({ credentials: { accessKeyId: 'a', secretAccessKey: secret } });
    const error = await firstOf(driver.send([message('a', workOf(queue))], soon()));
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(error.message).toContain('option region');
  });

  test('in a region that does not exist is UNAVAILABLE, and names the host', async () => {
    const error = await firstOf(driverOf({ region: 'eu-nowhere-1' }).send([message('a', workOf(queue))], soon()));
    expect(error.code).toBe('UNAVAILABLE');
    expect(error.message).toContain('sqs.eu-nowhere-1');
  });

  localemuTest('in another region has no such queue', async () => {
    const { queue: there } = await makeQueue(openDriver(localemu));
    const driver = openDriver(localemu, { region: 'eu-west-1' });
    const error = await firstOf(driver.send([message('a', workOf(there))], soon()));
    expect(error.code).toBe('NOT_FOUND');
    expect(error.message).toContain(`"${there.name.replace('.', '_')}"`);
  });

  test.each(calls)('where nobody listens makes %s UNAVAILABLE: nothing was stored', async (_, call) => {
    const driver = driverOf({ endpoint: `http://127.0.0.1:${await freePort()}` });
    const error = await firstOf(call(driver));
    expect(error.code).toBe('UNAVAILABLE');
    expectOneSentence(error);
  });

  test('that speaks TLS is named as such', async () => {
    const { endpoint = '' } = optionsFor(elasticmq);
    const driver = driverOf({ endpoint: endpoint.replace('http:', 'https:') });
    const error = await firstOf(driver.admin.depth(queue));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('option endpoint');
  });
});

describe('a server that fails', () => {
  const known = async (server: Server): Promise<SqsDriver> => {
    const driver = driverOf({ endpoint: await listening(server), requestTimeoutMs: 300 });
    await driver.admin.depth(queue).catch(() => undefined);
    return driver;
  };
  const answering =
    (status: number, body: object | string): RequestListener =>
    (request, response) => {
      const isLookup = request.headers['x-amz-target'] === 'AmazonSQS.GetQueueUrl';
      const url = { QueueUrl: 'http://127.0.0.1/123456789012/billing' };
      response.writeHead(isLookup ? 200 : status, { 'content-type': 'application/x-amz-json-1.0' });
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      response.end(isLookup ? JSON.stringify(url) : text);
    };

  test.each([
    ['breaks the connection', undefined, 'TIMEOUT'],
    ['says that it failed', [500, { __type: 'InternalFailure' }], 'TIMEOUT'],
    ['is not reached by a gateway', [502, '<html>Bad gateway</html>'], 'TIMEOUT'],
    ['says that it is not there', [503, { __type: 'ServiceUnavailable' }], 'UNAVAILABLE'],
    ['throttles', [400, { __type: 'RequestThrottled', message: 'Request is throttled.' }], 'THROTTLED'],
    ['throttles in SNS words', [400, { __type: 'ThrottlingException', message: 'Rate exceeded' }], 'THROTTLED'],
  ] as const)('%s is asked once, and the message may be stored unless it says otherwise', async (_, answer, code) => {
    let sends = 0;
    const server = createHttpServer((request, response) => {
      if (request.headers['x-amz-target'] === 'AmazonSQS.SendMessageBatch') {
        sends += 1;
        if (answer === undefined) return void request.socket.destroy();
      }
      const [status, body] = answer ?? [500, ''];
      answering(status, body)(request, response);
    });
    const driver = await known(server);
    const error = await firstOf(driver.send([message('a', workOf(queue))], soon()));
    expect(error.code).toBe(code);
    expectOneSentence(error);
    expect(sends).toBe(1);
  });

  test('and answers nothing has the time of a request', async () => {
    const driver = driverOf({ endpoint: await listening(createServer()), requestTimeoutMs: 300 });
    const startedAt = Date.now();
    const error = await firstOf(driver.admin.depth(queue));
    expect(error.retryable).toBe(true);
    expect(Date.now() - startedAt).toBeLessThan(3_000);
  });

  test('lets a send end when its time is over', async () => {
    const driver = driverOf({ endpoint: await listening(createServer()) });
    const startedAt = Date.now();
    const error = await firstOf(driver.send([message('a', workOf(queue))], AbortSignal.timeout(200)));
    expect(error.code).toBe('UNAVAILABLE');
    expect(Date.now() - startedAt).toBeLessThan(2_000);
  });

  test('and is no SQS is no message lost without a word', async () => {
    const server = createHttpServer((_request, response) => void response.end('<html>Welcome</html>'));
    const driver = driverOf({ endpoint: await listening(server) });
    const error = await firstOf(driver.send([message('a', workOf(queue))], soon()));
    expect(error.message).toMatch(/^Could not /);
  });
});

describe.each([localemu, elasticmq])('on $name', (server) => {
  test('what is missing is NOT_FOUND, and named', async () => {
    const driver = openDriver(server);
    const missing = { ...queue, name: uniqueName('gone') };
    const entity = missing.name.replace('.', '_');
    const tries = [
      driver.send([message('a', workOf(missing))], soon()),
      driver.subscribe(missing, 'work', { maxInFlight: 1, onLost: () => undefined }),
      driver.subscribe(missing, 'dead', { maxInFlight: 1, onLost: () => undefined }),
      driver.admin.depth(missing),
      driver.browse(missing, undefined, 10),
    ];
    for (const error of await Promise.all(tries.map(firstOf))) {
      expect(error.code).toBe('NOT_FOUND');
      expect(error.message).toContain(`"${entity}`);
      expect(error.message).toMatch(/Apply the topology/);
    }
  });

  test('a driver that is closed sends nothing', async () => {
    const driver = openDriver(server);
    await driver.close(Date.now() + 1_000);
    await driver.close(Date.now() + 1_000);
    expect(await errorOf(driver.send([message('a', workOf(queue))], soon()))).toMatchObject({ code: 'CLOSED' });
  });
});
