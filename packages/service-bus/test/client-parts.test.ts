import { ServiceBusClient } from '@azure/service-bus';
import { describe, expect, test } from 'vitest';
import { connectionOf, linkOfReceiver, linkOfSender, tolerateLost } from '../src/client-parts.ts';

const CONNECTION = 'Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true';

describe('what the client does not show', () => {
  test('is where this version has it', async () => {
    const client = new ServiceBusClient(CONNECTION, { retryOptions: { maxRetries: 0, timeoutInMs: 100 } });
    const connection = connectionOf(client);
    expect(connection.options).toBeTypeOf('object');
    expect(connection.once).toBeTypeOf('function');
    expect(linkOfSender(client.createSender('a'))).toBeUndefined();
    expect(linkOfReceiver(client.createReceiver('a'))).toBeUndefined();
    await client.close();
  });

  test('a link of requests that is gone has no address, and throws no more', () => {
    class Link {
      source: { readonly address: string } | undefined;
      get address(): string {
        return (this.source as { readonly address: string }).address;
      }
    }
    const [gone, open] = [new Link(), new Link()];
    open.source = { address: '$cbs' };
    expect(() => gone.address).toThrow(TypeError);
    tolerateLost({ receiver: gone as object });
    expect([gone.address, open.address]).toEqual([undefined, '$cbs']);
  });

  test('the hooks around a link are called', async () => {
    const client = new ServiceBusClient(CONNECTION, { retryOptions: { maxRetries: 0, timeoutInMs: 100 } });
    const abort = new AbortController();
    await new Promise<void>((resolve) => {
      const handlers = {
        preInitialize: async () => resolve(),
        processMessage: async () => undefined,
        processError: async () => undefined,
      };
      client.createReceiver('a').subscribe(handlers, { abortSignal: abort.signal });
    });
    abort.abort();
    await client.close();
  });
});
