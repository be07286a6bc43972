import { type Bus, WaybillError } from '@waybill/core';
import { rabbitmq } from '@waybill/rabbitmq';
import { afterAll, beforeAll, expect } from 'vitest';

import { eventually, freePort, type Rabbitmq, startRabbitmq } from '../../src/index.ts';
import { expectNoSecret, watchOutput } from '../secrets.ts';
import { containerTest } from '../shared.ts';
import { invoices, Noted, notes, Render } from './contracts.ts';
import { openBus, type OpenOptions, outcomeOf } from './kit.ts';

/** No colon: HTTP's basic authentication ends a name there. */
const user = 'us@er%/ü';
/** Everything that has a meaning in URLs, shells, quotes, patterns or formats. */
const password = `p@ss:w/o?r#d%20&=+ "'\`\\$(x) {%s} <é漢> [^.*]|;~!`;

let broker: Rabbitmq;

beforeAll(async () => {
  broker = await startRabbitmq({ management: true });
  const own = new URL(broker.managementUrl ?? '');
  const name = encodeURIComponent(user);
  await manage(new URL(`/api/users/${name}`, own), { password, tags: 'management' });
  await manage(new URL(`/api/permissions/%2F/${name}`, own), { configure: '.*', write: '.*', read: '.*' });
});
afterAll(async () => {
  await broker.stop();
});

/** The command line tool of some packages passes its arguments through a shell, which this password does not survive. */
async function manage(url: URL, body: object): Promise<void> {
  const { username, password: ownPassword } = new URL(broker.url);
  const login = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(ownPassword)}`).toString('base64');
  const headers = { authorization: `Basic ${login}`, 'content-type': 'application/json' };
  await eventually(async () => {
    const response = await fetch(url, { method: 'PUT', headers, body: JSON.stringify(body) });
    expect(response.status).toBeLessThan(300);
  });
}

function urlOf(port: string | number, options: { readonly secret?: string; readonly vhost?: string } = {}): string {
  const { secret = password, vhost = '' } = options;
  return `amqp://${encodeURIComponent(user)}:${encodeURIComponent(secret)}@127.0.0.1:${port}${vhost}`;
}

/** Calls everything that a bus has; resolves with every error. */
async function callEverything(bus: Bus): Promise<readonly unknown[]> {
  const errors: unknown[] = [];
  const call = async (run: () => Promise<unknown>): Promise<void> => {
    try {
      await run();
    } catch (error) {
      errors.push(error);
    }
  };
  const list = async (): Promise<void> => {
    for await (const letter of bus.deadLetters(notes)) void letter;
  };
  const signal = (): AbortSignal => AbortSignal.timeout(1_000);
  await Promise.all([
    call(() => bus.publish(Noted, { n: 1 })),
    call(() => bus.send(invoices, Render, { n: 1 })),
    call(() => bus.consume(notes, { 'note.taken': () => undefined }, { signal: signal() })),
    call(() => bus.provision('create', { signal: signal() })),
    call(() => bus.provision('verify', { signal: signal() })),
    call(() => bus.depth(notes, { signal: signal() })),
    call(() => bus.purge(notes, 'dead', { signal: signal() })),
    call(() => bus.redrive(notes, { signal: signal() })),
    call(list),
    call(async () => bus.dispatch([await bus.prepare(Noted, { n: 2 })])),
  ]);
  return errors;
}

interface Failure {
  readonly name: string;
  readonly url: () => string | Promise<string>;
  readonly secret?: string;
  readonly code: string;
  readonly options?: () => OpenOptions['rabbitmq'];
}

const wrong = `wr@ng/${password.split('').toReversed().join('')}`;
const failures: readonly Failure[] = [
  {
    name: 'a wrong password',
    url: () => urlOf(portOf(broker), { secret: wrong }),
    secret: wrong,
    code: 'PERMISSION_DENIED',
  },
  {
    name: 'a virtual host that is not there',
    url: () => urlOf(portOf(broker), { vhost: '/missing' }),
    code: 'NOT_FOUND',
  },
  { name: 'a port where nothing listens', url: async () => urlOf(await freePort()), code: 'UNAVAILABLE' },
  {
    name: 'a host that does not exist',
    url: () => urlOf(5672).replace('127.0.0.1', 'nowhere.invalid'),
    code: 'UNAVAILABLE',
  },
  { name: 'a port that speaks another protocol', url: () => urlOf(new URL(broker.managementUrl ?? '').port), code: '' },
  {
    name: 'TLS where there is none',
    url: () => urlOf(portOf(broker)).replace('amqp:', 'amqps:'),
    code: 'INVALID_ARGUMENT',
  },
];

for (const { name, url, secret = password, code } of failures) {
  containerTest(`${name} gives the password away nowhere`, async () => {
    const output = watchOutput();
    const bus = openBus(await url(), {
      uses: [notes, invoices],
      sendTimeoutMs: 1_000,
      rabbitmq: { connectTimeoutMs: 2_000 },
    });
    const errors = await callEverything(bus);
    const health = bus.health();
    await bus.close({ deadlineMs: 1_000 });
    expect(errors.length).toBeGreaterThanOrEqual(9);
    if (code !== '') expect(errors.map((error) => WaybillError.is(error) && error.code)).toContain(code);
    expectNoSecret({ user, password: secret }, { errors, events: bus.events, health, output: output(), bus });
  });
}

containerTest('a management URL that fails gives the password away nowhere', { timeout: 60_000 }, async () => {
  const output = watchOutput();
  const errors: unknown[] = [];
  for (const managementUrl of [
    `http://127.0.0.1:${await freePort()}`,
    broker.managementUrl ?? '',
    withWrongLogin(broker.managementUrl ?? ''),
  ]) {
    const bus = openBus(urlOf(portOf(broker)), { uses: [notes, invoices], rabbitmq: { managementUrl } });
    await bus.provision('create');
    const failed = (error: unknown): unknown => error;
    errors.push(...(await callEverything(bus)), await bus.depth(notes).catch(failed), bus.events, bus.health());
  }
  expectNoSecret({ user, password }, { errors, output: output() });
  expectNoSecret({ user, password: wrong }, { errors, output: output() });
});

containerTest('options that are refused give the password away nowhere', () => {
  const output = watchOutput();
  const urls = [
    `amqp://${user}:${password}@127.0.0.1`,
    `amqp://us:er:${password}`,
    `http://u:${encodeURIComponent(password)}@127.0.0.1`,
    `${urlOf(5672)}?heartbeat=1`,
    `${urlOf(5672)}/%zz`,
    password,
  ];
  const errors = urls.flatMap((url) => {
    try {
      rabbitmq({ url });
      return [];
    } catch (error) {
      return [error];
    }
  });
  expect(errors).toHaveLength(urls.length);
  expectNoSecret({ user, password }, { errors, output: output() });
});

containerTest('the broker takes this password, and its death gives it away nowhere', async () => {
  const output = watchOutput();
  const bus = openBus(urlOf(portOf(broker)), {
    uses: [notes, invoices],
    sendTimeoutMs: 1_500,
    rabbitmq: { heartbeatSeconds: 1 },
  });
  await bus.consume(notes, { 'note.taken': () => undefined });
  expect(await outcomeOf('stored', () => bus.publish(Noted, { n: 0 }))).toMatchObject({ stored: true });
  expect(bus.health()).toMatchObject({ status: 'up' });
  const publishing = Array.from({ length: 200 }, (_, n) => outcomeOf(`m${n}`, () => bus.publish(Noted, { n })));
  await broker.kill();
  const errors: unknown[] = (await Promise.all(publishing)).map((outcome) =>
    'error' in outcome ? outcome.error : undefined,
  );
  errors.push(...(await callEverything(bus)));
  await eventually(() => expect(bus.health()).toMatchObject({ status: 'down', consumers: [{ status: 'down' }] }));
  const health = bus.health();
  await bus.close({ deadlineMs: 1_000 });
  expect(errors.filter((error) => WaybillError.is(error)).length).toBeGreaterThan(5);
  expectNoSecret({ user, password }, { errors, events: bus.events, health, output: output(), bus });
});

function portOf({ url }: Rabbitmq): string {
  return new URL(url).port;
}

function withWrongLogin(url: string): string {
  const other = new URL(url);
  other.username = encodeURIComponent(user);
  other.password = encodeURIComponent(wrong);
  return other.href;
}

containerTest('this check finds a password that is there', () => {
  const leak = new Error('no', { cause: new Error(`connect ${urlOf(1)}`) });
  expect(() => expectNoSecret({ user, password }, { errors: [leak], output: '' })).toThrow('nothing');
  expect(() =>
    expectNoSecret(
      { user, password },
      { errors: [], output: Buffer.from(`\0${user}\0${password}`).toString('base64') },
    ),
  ).toThrow('nothing');
});
