import { inspect } from 'node:util';
import type { WaybillError } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import { rabbitmq, type RabbitmqOptions } from '../src/index.ts';
import { checkOptions } from '../src/rabbitmq-options.ts';

function problemsOf(options: unknown): string {
  try {
    rabbitmq(options as RabbitmqOptions);
  } catch (error) {
    expect((error as WaybillError).code).toBe('INVALID_ARGUMENT');
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('hunter2');
    return (error as WaybillError).message;
  }
  throw new Error('it was accepted');
}

describe('options', () => {
  test('lists every problem at once', () => {
    const message = problemsOf({
      url: 'http://me:hunter2@host',
      heartbeatSeconds: 0,
      envelope: 'xml',
      maxDelayMs: 1,
      pefetch: 3,
    });
    for (const name of ['url.0', 'heartbeatSeconds', 'envelope', 'maxDelayMs', 'pefetch']) {
      expect(message).toContain(name);
    }
  });

  test.each([
    ['amqp://me:hunter2#x@host', 'percent-encode'],
    ['amqp://me:hunter2/x@host', 'percent-encode'],
    ['amqp://me:hunter2?x@host', 'percent-encode'],
    ['amqp://me:12#hunter2@host', 'percent-encode'],
    ['amqp://me:hunter2%zz@host', '%'],
    ['amqp://me:hunter2@', 'url'],
    ['not a url hunter2', 'url'],
    ['amqp://me:hunter2@host?heartbeat=3', 'query'],
    ['amqp:hunter2', 'host'],
    [undefined, 'url'],
    [[], 'url'],
  ])('refuses %s without repeating it', (url, hint) => {
    expect(problemsOf({ url })).toContain(hint);
  });

  test('reads what a url says', () => {
    const [server] = checkOptions({ url: 'amqps://me:p%40ss@[::1]/my%2Fhost', heartbeatSeconds: 7 }).servers;
    expect(server).toEqual({
      name: '[::1]:5671',
      connect: {
        protocol: 'amqps',
        hostname: '::1',
        port: 5_671,
        username: 'me',
        password: 'p@ss',
        vhost: 'my%2Fhost',
        heartbeat: 7,
      },
    });
    expect(checkOptions({ url: 'amqp://host' }).servers[0]?.connect).toMatchObject({
      port: 5_672,
      username: 'guest',
      password: 'guest',
      vhost: '',
    });
  });

  test('the management API takes the credentials of the broker, and no url keeps any', () => {
    const { management } = checkOptions({ url: 'amqp://me:hunter2@host/v', managementUrl: 'https://host:15671/path/' });
    expect(management).toEqual({
      url: 'https://host:15671/path',
      vhost: 'v',
      authorization: `Basic ${Buffer.from('me:hunter2').toString('base64')}`,
    });
    const own = checkOptions({ url: 'amqp://me:hunter2@host', managementUrl: 'http://you:other@host' }).management;
    expect(own).toMatchObject({
      url: 'http://host',
      vhost: '%2F',
      authorization: `Basic ${Buffer.from('you:other').toString('base64')}`,
    });
  });

  test('a driver connects nowhere by itself, and shows no password', async () => {
    const driver = rabbitmq({ url: 'amqp://me:hunter2@127.0.0.1:1' });
    expect(inspect(driver, { depth: 20, showHidden: true })).not.toContain('hunter2');
    expect(JSON.stringify(driver)).not.toContain('hunter2');
    await driver.close(Date.now() + 100);
  });
});
