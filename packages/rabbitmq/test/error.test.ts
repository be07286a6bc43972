import { WaybillError } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import { toWaybillError } from '../src/rabbitmq-error.ts';
import { captured } from './captured-errors.ts';

const CLASSES: Readonly<Record<string, new (message: string) => Error>> = { RangeError, TypeError };

describe('errors', () => {
  test.each(captured)('$what is $expected', ({ error, expected, says }) => {
    const cause = Object.assign(new (CLASSES[error.name] ?? Error)(error.message), error);
    const mapped = toWaybillError(cause, 'do it');
    expect(mapped.code).toBe(expected);
    expect(mapped.cause).toBe(cause);
    expect(mapped.message).toMatch(/^Could not do it: .+\. [A-Z].+\.$/s);
    expect(mapped.message).toContain(says);
  });

  test('what is mapped already stays as it is', () => {
    const error = new WaybillError('CLOSED', 'closed');
    expect(toWaybillError(error, 'do it')).toBe(error);
  });

  test('what nobody knows is UNKNOWN, with its text', () => {
    expect(toWaybillError(new Error('surprise'), 'do it')).toMatchObject({
      code: 'UNKNOWN',
      message: 'Could not do it: surprise.',
    });
    expect(toWaybillError('text', 'do it')).toMatchObject({ code: 'UNKNOWN', message: 'Could not do it: text.' });
    expect(toWaybillError(undefined, 'do it')).toMatchObject({ code: 'UNKNOWN' });
  });

  test('a refusal from several addresses has no text of its own', () => {
    const cause = Object.assign(new AggregateError([new Error('connect ECONNREFUSED ::1:1')], ''), {
      code: 'ECONNREFUSED',
    });
    expect(toWaybillError(cause, 'do it')).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('ECONNREFUSED') as unknown,
    });
  });
});
