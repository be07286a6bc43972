import { inspect } from 'node:util';
import type { WaybillError } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import { serviceBus, type ServiceBusOptions } from '../src/index.ts';
import { checkOptions } from '../src/service-bus-options.ts';

const CONNECTION = 'Endpoint=sb://name.servicebus.windows.net/;SharedAccessKeyName=app;SharedAccessKey=hunter2=';
const credential = { getToken: async () => null };

function problemsOf(options: unknown): string {
  try {
    serviceBus(options as ServiceBusOptions);
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
      connectionString: 'hunter2',
      leaseMs: 1,
      maxDeliveries: 1,
      envelope: 'xml',
      managementUrl: 'amqp://hunter2',
      webSockets: {},
      prefetch: 3,
    });
    const names = [
      'connectionString',
      'leaseMs',
      'maxDeliveries',
      'envelope',
      'managementUrl',
      'webSockets',
      'prefetch',
    ];
    for (const name of names) expect(message).toContain(name);
  });

  test.each([
    ['Endpoint=sb://name/;SharedAccessKeyName=app', 'none of Service Bus'],
    [`${CONNECTION};EntityPath=hunter2`, 'entity'],
    ['SharedAccessKeyName=app;SharedAccessKey=hunter2', 'none of Service Bus'],
    ['', 'none of Service Bus'],
  ])('refuses %s without repeating it', (connectionString, hint) => {
    expect(problemsOf({ connectionString })).toContain(hint);
  });

  test('takes either a connection string, or a namespace and a credential', () => {
    expect(problemsOf({})).toContain('either');
    expect(problemsOf({ namespace: 'name.servicebus.windows.net' })).toContain('either');
    expect(problemsOf({ connectionString: CONNECTION, namespace: 'n', credential })).toContain('either');
    expect(problemsOf({ namespace: 'sb://name/', credential })).toContain('namespace');
    const { access } = checkOptions({ namespace: 'name.servicebus.windows.net', credential });
    expect(access).toEqual({ namespace: 'name.servicebus.windows.net', credential });
  });

  test('web sockets are those that are given', () => {
    const webSockets = { webSocket: function given() {} as never };
    expect(checkOptions({ connectionString: CONNECTION, webSockets }).webSockets).toBe(webSockets);
    expect(checkOptions({ connectionString: CONNECTION }).webSockets).toBeUndefined();
  });

  test('a driver connects nowhere by itself, and shows no key', async () => {
    const driver = serviceBus({ connectionString: CONNECTION.replace('name.servicebus.windows.net', '127.0.0.1:1') });
    expect(inspect(driver, { depth: 20, showHidden: true })).not.toContain('hunter2');
    expect(JSON.stringify(driver)).not.toContain('hunter2');
    await driver.close(Date.now() + 100);
  });

  test('without management there is no admin', () => {
    expect(serviceBus({ connectionString: CONNECTION, management: false }).admin).toBeUndefined();
    expect(serviceBus({ connectionString: CONNECTION }).admin).toBeDefined();
  });

  test('the limit of a message leaves room for what the protocol adds', () => {
    const { capabilities, limits } = serviceBus({ connectionString: CONNECTION });
    expect(capabilities.maxMessageBytes).toBeLessThan(262_144);
    expect(limits.send.bytes).toBeLessThanOrEqual(capabilities.maxMessageBytes);
    const premium = serviceBus({ connectionString: CONNECTION, maxMessageBytes: 104_857_600 });
    expect(premium.capabilities.maxMessageBytes).toBe(104_857_600 - 2_048);
  });
});
