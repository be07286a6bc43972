import { inspect } from 'node:util';
import type { WaybillError } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import { kafka, type KafkaOptions } from '../src/index.ts';
import { checkOptions } from '../src/kafka-options.ts';

const sasl = { mechanism: 'plain', username: 'me', password: 'hunter2' } as const;

function problemsOf(options: unknown): string {
  try {
    kafka(options as KafkaOptions);
  } catch (error) {
    expect((error as WaybillError).code).toBe('INVALID_ARGUMENT');
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('hunter2');
    return (error as WaybillError).message;
  }
  throw new Error('it was accepted');
}

describe('options', () => {
  test('lists every problem at once, and no value', () => {
    const message = problemsOf({
      brokers: ['kafka://me:hunter2@host:9092', 'host'],
      ssl: 'hunter2',
      sasl: 'hunter2',
      clientId: '',
      envelope: 'hunter2',
      partitions: 0,
      replicationFactor: 'hunter2',
      sessionTimeoutMs: 1,
      connectTimeoutMs: 0.5,
      requestTimeoutMs: 1,
      maxMessageBytes: 1,
      maxDelayMs: 3_600_001,
      socketFactory: 'hunter2',
      pasword: 'hunter2',
    });
    const names = ['brokers.0', 'brokers.1', 'ssl', 'sasl', 'clientId', 'envelope', 'partitions', 'replicationFactor'];
    const others = ['sessionTimeoutMs', 'connectTimeoutMs', 'requestTimeoutMs', 'maxMessageBytes', 'maxDelayMs'];
    for (const name of [...names, ...others, 'socketFactory', 'pasword']) expect(message).toContain(name);
  });

  test.each([
    [undefined],
    [[]],
    ['host:9092'],
    [['host']],
    [['host:']],
    [[':9092']],
    [['host:port']],
    [['me:hunter2@host:9092']],
    [['host:9092/hunter2']],
    [['host:9092,other:9092']],
    [[' host:9092']],
    [['host:65536']],
    [['host:0']],
  ])('refuses the brokers %j', (brokers) => {
    expect(problemsOf({ brokers })).toContain('brokers');
  });

  test.each([['host:9092'], ['10.0.0.1:9092'], ['[::1]:9092'], ['kafka-1.example.com:19092']])(
    'takes the broker %s',
    (broker) => {
      expect(checkOptions({ brokers: [broker] }).brokers).toEqual([broker]);
    },
  );

  test('what is not said has its default', () => {
    expect(checkOptions({ brokers: ['host:9092'] })).toEqual({
      brokers: ['host:9092'],
      ssl: false,
      sasl: undefined,
      clientId: 'waybill',
      envelope: 'structured',
      partitions: 6,
      replicationFactor: undefined,
      sessionTimeoutMs: 30_000,
      connectTimeoutMs: 10_000,
      requestTimeoutMs: 30_000,
      maxMessageBytes: 1_044_480,
      maxDelayMs: 3_600_000,
      socketFactory: undefined,
    });
  });

  test('what is said is passed on', () => {
    const said = {
      brokers: ['a:1', 'b:2'],
      ssl: { ca: 'x' },
      sasl,
      clientId: 'shop',
      partitions: 12,
      replicationFactor: 2,
    };
    expect(checkOptions(said)).toMatchObject(said);
  });

  test('a driver connects nowhere by itself, and shows no password', async () => {
    const driver = kafka({ brokers: ['127.0.0.1:1'], sasl, ssl: { passphrase: 'hunter2' } });
    expect(inspect(driver, { depth: 20, showHidden: true })).not.toContain('hunter2');
    expect(JSON.stringify(driver)).not.toContain('hunter2');
    await driver.close(Date.now() + 100);
  });
});
