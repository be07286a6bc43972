import { inspect } from 'node:util';
import type { WaybillError } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import { checkOptions, type SqsOptions } from '../src/sqs-options.ts';

function problemsOf(options: unknown): string {
  try {
    checkOptions(options as SqsOptions);
  } catch (error) {
    expect((error as WaybillError).code).toBe('INVALID_ARGUMENT');
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('hunter2');
    return (error as WaybillError).message;
  }
  throw new Error('it was accepted');
}

describe('options', () => {
  test('lists every problem at once, and no value', () => {
    const wrong = {
      region: 'hunter2',
      endpoint: 'ftp://hunter2',
      snsEndpoint: 'hunter2',
      credentials: 'hunter2',
      accountId: 'hunter2',
      topics: 'hunter2',
      envelope: 'hunter2',
      leaseMs: 43_200_001,
      pollSeconds: 21,
      maxMessageBytes: 1_048_577,
      maxConnections: 0,
      connectTimeoutMs: 0.5,
      requestTimeoutMs: 1,
      pasword: 'hunter2',
    };
    const message = problemsOf(wrong);
    for (const name of Object.keys(wrong)) expect(message).toContain(name);
  });

  test.each([
    [undefined],
    [null],
    [[]],
    ['eu-central-1'],
    [{ region: '' }],
    [{ region: 'eu-central-1 ' }],
    [{ region: 'eu-central-1.evil.example' }],
    [{ endpoint: 'localhost:9324' }],
    [{ accountId: '12345678901' }],
    [{ leaseMs: 999 }],
    [{ pollSeconds: 0 }],
    [{ pollSeconds: 1.5 }],
    [{ maxMessageBytes: 16_383 }],
    [{ maxMessageBytes: 262_145 }],
  ])('refuses %j', (options) => {
    expect(problemsOf(options)).toMatch(/^sqs\(\) cannot use these options\. /);
  });

  test('allows messages of a MiB where no topic is involved', () => {
    expect(checkOptions({ topics: false, maxMessageBytes: 1_048_576 }).maxMessageBytes).toBe(1_048_576);
    expect(problemsOf({ maxMessageBytes: 262_145 })).toContain('topics: false');
  });

  test('has defaults for everything', () => {
    expect(checkOptions({})).toEqual({
      topics: true,
      envelope: 'structured',
      leaseMs: 30_000,
      pollSeconds: 5,
      maxMessageBytes: 262_144,
      maxConnections: 50,
      connectTimeoutMs: 5_000,
      requestTimeoutMs: 10_000,
    });
  });

  test('rounds a lease up to whole seconds', () => {
    expect(checkOptions({ leaseMs: 1_001 }).leaseMs).toBe(2_000);
    expect(checkOptions({ leaseMs: 1_000 }).leaseMs).toBe(1_000);
  });

  test('sends SNS where SQS is, unless it is told otherwise', () => {
    expect(checkOptions({ endpoint: 'http://localhost:4566' }).snsEndpoint).toBe('http://localhost:4566');
    const two = checkOptions({ endpoint: 'http://localhost:4566', snsEndpoint: 'https://sns.example' });
    expect(two.snsEndpoint).toBe('https://sns.example');
  });

  test.each(['eu-central-1', 'us-gov-west-1', 'cn-northwest-1', 'ap-southeast-5', 'us-iso-east-1'])(
    'knows %s',
    (region) => {
      expect(checkOptions({ region }).region).toBe(region);
    },
  );
});
