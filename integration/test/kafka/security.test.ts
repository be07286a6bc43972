import type { KafkaOptions } from '@waybill/kafka';
import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  ResourcePatternTypes,
  type SASLOptions,
} from 'kafkajs';
import { afterAll, beforeAll, expect } from 'vitest';

import {
  eventually,
  type Kafka,
  kafkaGuest,
  kafkaGuestPassword,
  kafkaPassword,
  kafkaUser,
  type SecuredListeners,
  startKafka,
} from '../../src/index.ts';
import { makeCertificate } from '../../src/certificate.ts';
import { expectNoSecret, watchOutput } from '../secrets.ts';
import { containerTest, hasContainers } from '../shared.ts';
import { failureOf, type KafkaBus, Noted, notes, openAdmin, openBus } from './kit.ts';

let server: Kafka;
let otherCa: string;

beforeAll(async () => {
  if (!hasContainers) return;
  server = await startKafka({ security: 'sasl' });
  otherCa = (await makeCertificate()).certificate;
});
afterAll(async () => {
  await server?.stop();
});

type Mechanism = 'plain' | 'scram-sha-256' | 'scram-sha-512';
const mechanisms: readonly Mechanism[] = ['plain', 'scram-sha-256', 'scram-sha-512'];

function login(mechanism: Mechanism, password = kafkaPassword, username = kafkaUser): SASLOptions {
  return { mechanism, username, password };
}

function secured(): SecuredListeners {
  if (server.secured === undefined) throw new Error('This Kafka has no secured listeners.');
  return server.secured;
}

interface Way {
  readonly name: string;
  readonly options: () => KafkaOptions;
}

const ways: readonly Way[] = [
  ...mechanisms.map((mechanism) => ({
    name: `SASL ${mechanism}`,
    options: () => ({ brokers: secured().sasl, sasl: login(mechanism) }),
  })),
  { name: 'TLS', options: () => ({ brokers: secured().tls, ssl: { ca: secured().ca } }) },
  ...mechanisms.map((mechanism) => ({
    name: `SASL ${mechanism} over TLS`,
    options: () => ({ brokers: secured().saslTls, ssl: { ca: secured().ca }, sasl: login(mechanism) }),
  })),
];

for (const { name, options } of ways) {
  containerTest(`a bus applies, publishes, consumes and counts over ${name}`, async () => {
    const output = watchOutput();
    const bus = openBus(options(), { uses: [notes] });
    const seen: number[] = [];
    await bus.consume(notes, { 'note.taken': ({ n }) => void seen.push(n) });
    await Promise.all([1, 2, 3].map((n) => bus.publish(Noted, { n })));
    await eventually(() => expect(seen.toSorted()).toEqual([1, 2, 3]));
    await eventually(async () => expect(await bus.depth(notes)).toMatchObject({ ready: 0, deadLettered: 0 }));
    const health = bus.health();
    await bus.close({ deadlineMs: 5_000 });
    const shown = { errors: [], events: bus.events, health, output: output(), bus };
    expectNoSecret({ user: kafkaUser, password: kafkaPassword }, shown);
    expect(output()).toBe('');
  });
}

const wrong = 'stickleback@amber/3';
const CREDENTIALS = /authentication failed.*Check the sasl options: mechanism, user and password\.$/i;
const CLOSED =
  /(Closed connection.*whether this port wants TLS or credentials|(EPIPE|ECONNRESET).*the next call connects again)\.$/;
const CERTIFICATE = /self-signed certificate\. Check the ssl options, and that the port is one with TLS\.$/;

interface Failure {
  readonly name: string;
  readonly options: () => KafkaOptions;
  readonly code: string;
  readonly says: RegExp;
}

const failures: readonly Failure[] = [
  ...mechanisms.map((mechanism) => ({
    name: `a wrong password with ${mechanism}`,
    options: () => ({ brokers: secured().sasl, sasl: login(mechanism, wrong) }),
    code: 'PERMISSION_DENIED',
    says: CREDENTIALS,
  })),
  ...mechanisms.map((mechanism) => ({
    name: `a wrong password with ${mechanism} over TLS`,
    options: () => ({ brokers: secured().saslTls, ssl: { ca: secured().ca }, sasl: login(mechanism, wrong) }),
    code: 'PERMISSION_DENIED',
    says: CREDENTIALS,
  })),
  {
    name: 'no credentials where they are demanded',
    options: () => ({ brokers: secured().sasl }),
    code: 'UNAVAILABLE',
    says: CLOSED,
  },
  {
    name: 'no credentials where they are demanded over TLS',
    options: () => ({ brokers: secured().saslTls, ssl: { ca: secured().ca } }),
    code: 'UNAVAILABLE',
    says: CLOSED,
  },
  {
    name: 'credentials where nobody takes them',
    options: () => ({ brokers: server.brokers, sasl: login('plain') }),
    code: 'PERMISSION_DENIED',
    says: /SASL state\. Check the sasl options: mechanism, user and password\.$/,
  },
  {
    name: 'no TLS on a port with TLS',
    options: () => ({ brokers: secured().saslTls, sasl: login('plain') }),
    code: 'UNAVAILABLE',
    says: CLOSED,
  },
  {
    name: 'TLS on a port without',
    options: () => ({ brokers: secured().sasl, ssl: { ca: secured().ca }, sasl: login('plain') }),
    code: 'UNAVAILABLE',
    says: /TLS connection.*Check that the broker runs, and that this port is one with TLS\.$/,
  },
  {
    name: 'a certificate of another authority',
    options: () => ({ brokers: secured().saslTls, ssl: { ca: otherCa }, sasl: login('plain') }),
    code: 'INVALID_ARGUMENT',
    says: CERTIFICATE,
  },
  {
    name: 'a certificate that nobody vouches for',
    options: () => ({ brokers: secured().saslTls, ssl: true, sasl: login('plain') }),
    code: 'INVALID_ARGUMENT',
    says: CERTIFICATE,
  },
];

for (const { name, options, code, says } of failures) {
  containerTest(`${name} is one clear error without a credential`, async () => {
    const output = watchOutput();
    const bus = openBus({ ...options(), connectTimeoutMs: 2_000 }, { uses: [notes], sendTimeoutMs: 1_000 });
    const signal = AbortSignal.timeout(10_000);
    const verified = await failureOf(bus.provision('verify', { signal }));
    expect(verified).toMatchObject({ code, message: expect.stringMatching(says) as unknown });
    // All are looked up at once.
    expect(String(verified)).toMatch(
      new RegExp(`Could not look up topic "${bus.prefix}\\.(note-events|notes[.\\w]*)"`),
    );
    const counted = await failureOf(bus.depth(notes, { signal }));
    expect(counted).toMatchObject({ code, message: expect.stringMatching(says) as unknown });
    const errors = [verified, counted, await failureOf(bus.publish(Noted, { n: 1 }))];
    const stop = new AbortController();
    const consuming = failureOf(bus.consume(notes, { 'note.taken': () => undefined }, { signal: stop.signal }));
    await eventually(() => {
      const told = bus.events.find((event) => event.name === 'consumer' && event.error !== undefined);
      expect(told).toMatchObject({ error: { code, message: expect.stringMatching(says) as unknown } });
    });
    stop.abort();
    errors.push(await consuming);
    const health = bus.health();
    await bus.close({ deadlineMs: 2_000 });
    const shown = { errors, events: bus.events, health, output: output(), bus };
    for (const password of [kafkaPassword, wrong]) expectNoSecret({ user: kafkaUser, password }, shown);
    expect(output()).toBe('');
  });
}

interface Right {
  readonly kind: 'topic' | 'group';
  readonly name: string;
  readonly operation: 'READ' | 'WRITE' | 'DESCRIBE';
}

/** Gives the guest rights for everything whose name begins so. Resolves once the broker goes by them. */
async function allow(...rights: readonly Right[]): Promise<void> {
  const admin = await openAdmin({ brokers: [...server.brokers] });
  const acl = rights.map(({ kind, name, operation }) => ({
    resourceType: kind === 'topic' ? AclResourceTypes.TOPIC : AclResourceTypes.GROUP,
    resourceName: name,
    resourcePatternType: ResourcePatternTypes.PREFIXED,
    principal: `User:${kafkaGuest}`,
    host: '*',
    operation: AclOperationTypes[operation],
    permissionType: AclPermissionTypes.ALLOW,
  }));
  await admin.createAcls({ acl });
  // The controller has them; the broker, which judges by its own copy, hears of them a little later.
  for (const each of acl) {
    await eventually(async () => expect((await admin.describeAcls(each)).resources).toHaveLength(1));
  }
}

/** A queue that is there, and a bus of a guest on it. */
async function openAsGuest(): Promise<KafkaBus> {
  const owner = openBus({ brokers: server.brokers }, { uses: [notes] });
  await owner.provision('create');
  const options = { brokers: secured().sasl, sasl: login('plain', kafkaGuestPassword, kafkaGuest) };
  return openBus(options, { uses: [notes], prefix: owner.prefix, provision: 'verify', sendTimeoutMs: 5_000 });
}

function denied(what: string): object {
  const advice = 'Give this user the rights that the documentation of @waybill/kafka lists.';
  return { code: 'PERMISSION_DENIED', message: expect.stringMatching(new RegExp(`${what}.*${advice}$`)) as unknown };
}

containerTest('who may not see a topic is told which one', async () => {
  const bus = await openAsGuest();
  expect(await failureOf(bus.provision('verify'))).toMatchObject(denied(`"${bus.prefix}.note-events"`));
  expect(await failureOf(bus.publish(Noted, { n: 1 }))).toMatchObject(denied(`"${bus.prefix}.note-events"`));
});

containerTest('who may read and write topics and read groups can publish, consume and count', async () => {
  const bus = await openAsGuest();
  await allow(
    { kind: 'topic', name: bus.prefix, operation: 'READ' },
    { kind: 'topic', name: bus.prefix, operation: 'WRITE' },
    { kind: 'group', name: bus.prefix, operation: 'READ' },
    { kind: 'topic', name: 'waybill.bindings', operation: 'READ' },
  );
  const seen: number[] = [];
  await bus.consume(notes, { 'note.taken': ({ n }) => void seen.push(n) });
  await Promise.all([1, 2, 3].map((n) => bus.publish(Noted, { n })));
  await eventually(() => expect(seen.toSorted()).toEqual([1, 2, 3]));
  await eventually(async () => expect(await bus.depth(notes)).toMatchObject({ ready: 0, deadLettered: 0 }));
});

containerTest('who may not create a topic is told which one', async () => {
  const guest = { brokers: secured().sasl, sasl: login('plain', kafkaGuestPassword, kafkaGuest) };
  const bus = openBus(guest, { uses: [notes] });
  await allow(
    { kind: 'topic', name: bus.prefix, operation: 'DESCRIBE' },
    { kind: 'topic', name: 'waybill.bindings', operation: 'READ' },
  );
  const refused = await failureOf(bus.provision('create'));
  expect(refused).toMatchObject(denied(`create topic "${bus.prefix}.note-events"`));
});

containerTest('who may not write to a topic is told which one', async () => {
  const bus = await openAsGuest();
  await allow(
    { kind: 'topic', name: bus.prefix, operation: 'DESCRIBE' },
    { kind: 'topic', name: 'waybill.bindings', operation: 'READ' },
  );
  expect(await failureOf(bus.publish(Noted, { n: 1 }))).toMatchObject(denied(`${bus.prefix}.note-events`));
});

containerTest('who may not join a group is told which one', async () => {
  const bus = await openAsGuest();
  await allow(
    { kind: 'topic', name: bus.prefix, operation: 'READ' },
    { kind: 'topic', name: 'waybill.bindings', operation: 'READ' },
  );
  const refused = await failureOf(bus.consume(notes, { 'note.taken': () => undefined }));
  expect(refused).toMatchObject(denied(`group ${bus.prefix}.notes`));
});
