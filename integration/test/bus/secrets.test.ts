import { inspect } from 'node:util';

import { type Bus, type ObserveEvent, WaybillError } from '@waybill/core';
import { rabbitmq } from '@waybill/rabbitmq';
import { afterAll, beforeAll, expect, onTestFinished, vi } from 'vitest';

import { eventually, freePort, type Rabbitmq, startRabbitmq } from '../../src/index.ts';
import { containerTest } from '../shared.ts';
import { invoices, Noted, notes, Render } from './contracts.ts';
import { type BusUnderTest, openBus, type OpenOptions, outcomeOf } from './kit.ts';

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

/** The password in every form that a library may hold it in, and parts of it that a wrong split of the URL would print. */
function formsOf(secret: string): readonly string[] {
  const base64 = (text: string): string => Buffer.from(text).toString('base64').replace(/=+$/, '');
  const json = JSON.stringify(secret).slice(1, -1);
  return [
    secret,
    encodeURIComponent(secret),
    encodeURI(secret),
    json,
    inspect(secret).slice(1, -1),
    base64(secret),
    base64(`${user}:${secret}`),
    base64(`\0${user}\0${secret}`),
    ...secret.split(/[@/?# ]/).filter((part) => part.length > 4),
  ];
}

/** Everything that one text may show of a value: causes, stacks, hidden members, JSON. */
function textOf(value: unknown): string {
  const parts = [inspect(value, { depth: 12, showHidden: true, maxStringLength: null, maxArrayLength: null })];
  for (let error = value; error instanceof Error; error = error.cause) {
    parts.push(error.message, String(error), String(error.stack), JSON.stringify(error));
  }
  return parts.join('\n');
}

/** Collects what is written to the console and the two streams while a test runs. */
function watchOutput(): () => string {
  const written: string[] = [];
  const watch = (...parts: unknown[]): void =>
    void written.push(parts.map((part) => (typeof part === 'string' ? part : textOf(part))).join(' '));
  const spies = [
    ...(['log', 'info', 'warn', 'error', 'debug', 'trace'] as const).map((name) =>
      vi.spyOn(console, name).mockImplementation(watch),
    ),
    ...[process.stdout, process.stderr].map((stream) =>
      vi.spyOn(stream, 'write').mockImplementation((chunk) => {
        watch(String(chunk));
        return true;
      }),
    ),
  ];
  onTestFinished(() => spies.forEach((spy) => spy.mockRestore()));
  return () => written.join('\n');
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
    expectNoSecret(secret, { errors, events: bus.events, health, output: output(), bus });
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
  expectNoSecret(password, { errors, output: output() });
  expectNoSecret(wrong, { errors, output: output() });
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
  expectNoSecret(password, { errors, output: output() });
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
  expectNoSecret(password, { errors, events: bus.events, health, output: output(), bus });
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

interface Shown {
  readonly errors: readonly unknown[];
  readonly events?: readonly ObserveEvent[];
  readonly health?: unknown;
  readonly output: string;
  readonly bus?: BusUnderTest;
}

function expectNoSecret(secret: string, shown: Shown): void {
  const texts: Record<string, string> = {
    errors: shown.errors.map(textOf).join('\n'),
    events: (shown.events ?? [])
      .map((event) => `${textOf(event)}\n${'error' in event ? textOf(event.error) : ''}`)
      .join('\n'),
    health: `${textOf(shown.health)}\n${JSON.stringify(shown.health)}`,
    output: shown.output,
    bus: `${JSON.stringify(shown.bus)}\n${inspect(shown.bus)}`,
  };
  for (const [where, text] of Object.entries(texts)) {
    for (const form of formsOf(secret)) {
      const at = text.indexOf(form);
      expect(at < 0 ? 'nothing' : `${where}: …${text.slice(Math.max(at - 120, 0), at + form.length + 40)}…`).toBe(
        'nothing',
      );
    }
  }
}

containerTest('this check finds a password that is there', () => {
  const leak = new Error('no', { cause: new Error(`connect ${urlOf(1)}`) });
  expect(() => expectNoSecret(password, { errors: [leak], output: '' })).toThrow('nothing');
  expect(() =>
    expectNoSecret(password, { errors: [], output: Buffer.from(`\0${user}\0${password}`).toString('base64') }),
  ).toThrow('nothing');
});
