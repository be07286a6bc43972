import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { expect, test } from 'vitest';

import { afterwards, brokers, consume, idOf, message, place, settleAll, signal, start, take, work } from './broker.ts';

const [broker] = brokers();

/** TLS in front of the broker, with a certificate that nobody knows. */
async function startTls(): Promise<{ url: string; ca: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-tls-'));
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', certificate, ...subject], {
    stdio: 'ignore',
  });
  const upstream = new URL(broker?.url ?? '');
  const server = createServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (client) => {
    const socket: Socket = connect(Number(upstream.port), upstream.hostname);
    client.on('error', () => socket.destroy());
    socket.on('error', () => client.destroy());
    client.pipe(socket).pipe(client);
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  afterwards(async () => void server.close());
  const { port } = server.address() as { port: number };
  const url = new URL(upstream);
  url.protocol = 'amqps:';
  url.hostname = 'localhost';
  url.port = String(port);
  return { url: url.href, ca: readFileSync(certificate, 'utf8') };
}

test('messages pass over TLS with the certificate authority that `tls` names', async () => {
  const { url, ca } = await startTls();
  const driver = start({ url, tls: { ca } });
  const { queue } = await place(driver);
  const subscription = await consume(driver, queue);
  await driver.send([message('1', work(queue))], signal());
  const deliveries = await take(subscription, 1);
  expect(deliveries.map(idOf)).toEqual(['1']);
  await settleAll(subscription, deliveries);
});

test('a certificate that nobody vouches for is refused, and the sentence shows no credential', async () => {
  const { url } = await startTls();
  const driver = start({ url });
  const refused = await driver.admin.apply({ topics: [], queues: [] }, signal()).then(
    () => undefined,
    (error: unknown) => error as Error,
  );
  const reached =
    refused ??
    (await driver.verify({ topics: [{ name: 'any', keyed: false }], queues: [] }, signal()).then(
      () => undefined,
      (error: unknown) => error as Error,
    ));
  expect(reached?.message).toMatch(/certificate/i);
  expect(reached?.message).not.toContain('bill');
});
