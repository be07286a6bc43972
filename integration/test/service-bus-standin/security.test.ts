import { ServiceBusAdministrationClient, ServiceBusClient } from '@azure/service-bus';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';

import type { Standin } from '../../src/service-bus-standin/index.ts';
import { makeCertificate } from '../../src/certificate.ts';
import { administer, codeOf, connect, connectionString, once, openStandin, policy, receiveOne } from './kit.ts';

const sendOnly = { name: 'send', key: 'send-key', claims: ['Send'] } as const;
const listenOnly = { name: 'listen', key: 'listen-key', claims: ['Listen'] } as const;
const bearer = { token: 'a-token', claims: ['Manage', 'Send', 'Listen'] } as const;

let standin: Standin;
beforeAll(async () => {
  standin = await openStandin({ access: { policies: [policy, sendOnly, listenOnly], bearerTokens: [bearer] } });
  standin.namespace.createQueue('q');
});
afterAll(() => standin.close());

const withKey = ({ name, key }: { name: string; key: string }): string => connectionString(standin.port, name, key);

test('a wrong key is refused as the service refuses it, and is not told', async () => {
  const sender = connect(withKey({ name: policy.name, key: 'wrong' })).createSender('q');
  await expect(sender.sendMessages({ body: 1 })).rejects.toMatchObject({
    code: 'UnauthorizedAccess',
    message: 'InvalidSignature: The token has an invalid signature.',
  });
});

test('an unknown policy is refused', async () => {
  const receiver = connect(withKey({ name: 'nobody', key: 'x' })).createReceiver('q');
  expect(await codeOf(receiver.receiveMessages(1, { maxWaitTimeInMs: 100 }))).toBe('UnauthorizedAccess');
});

test('a policy that may send may not receive', async () => {
  const client = connect(withKey(sendOnly));
  await client.createSender('q').sendMessages({ body: 1 });
  expect(await codeOf(client.createReceiver('q').receiveMessages(1, { maxWaitTimeInMs: 100 }))).toBe(
    'UnauthorizedAccess',
  );
});

test('a policy that may listen may not send', async () => {
  await connect(withKey(policy)).createSender('q').sendMessages({ body: 1 });
  const client = connect(withKey(listenOnly));
  const receiver = client.createReceiver('q');
  await receiver.completeMessage(await receiveOne(receiver));
  expect(await codeOf(client.createSender('q').sendMessages({ body: 1 }))).toBe('UnauthorizedAccess');
});

test('management demands its claim', async () => {
  const may = administer(standin.managementPort, withKey(policy));
  const mayNot = administer(standin.managementPort, withKey(sendOnly));
  const wrong = administer(standin.managementPort, withKey({ name: policy.name, key: 'wrong' }));
  expect(await may.queueExists('q')).toBe(true);
  expect(await codeOf(mayNot.getQueue('q'))).toBe('UnauthorizedRequestError');
  expect(await codeOf(wrong.getQueue('q'))).toBe('UnauthorizedRequestError');
});

test('tokens of an identity provider are taken where they are known', async () => {
  const { certificate, key } = await makeCertificate();
  const secured = await openStandin({
    access: { policies: [policy], bearerTokens: [bearer] },
    tls: { certificate, key },
  });
  onTestFinished(() => secured.close());
  secured.namespace.createQueue('q');
  // There is no other way to have the client trust it once this process runs.
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
  onTestFinished(() => void vi.unstubAllEnvs());
  const withToken = (token: string): ServiceBusClient => {
    const credential = { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3_600_000 }) };
    const endpoint = { customEndpointAddress: `sb://127.0.0.1:${secured.port}` };
    const client = new ServiceBusClient('127.0.0.1', credential, { ...once, ...endpoint });
    onTestFinished(() => client.close());
    return client;
  };
  await withToken(bearer.token).createSender('q').sendMessages({ body: 1 });
  expect(await codeOf(withToken('unknown').createSender('q').sendMessages({ body: 1 }))).toBe('UnauthorizedAccess');
  const credential = { getToken: async () => ({ token: bearer.token, expiresOnTimestamp: Date.now() + 3_600_000 }) };
  const admin = new ServiceBusAdministrationClient(`127.0.0.1:${secured.managementPort}`, credential);
  expect((await admin.getQueueRuntimeProperties('q')).activeMessageCount).toBe(1);
});
