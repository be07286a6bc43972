import vm from 'node:vm';
import { describe, expect, it, vi } from 'vitest';
import type * as errors from '../../src/driver/errors.ts';
import { BatchError, WaybillError, type WaybillErrorCode } from '../../src/driver/index.ts';

/** Every code, by the rule that the type must name them all; true: the same call may succeed later. */
const codes: Readonly<Record<WaybillErrorCode, boolean>> = {
  INVALID_ARGUMENT: false,
  INVALID_MESSAGE: false,
  UNKNOWN_VERSION: false,
  NOT_FOUND: false,
  ALREADY_EXISTS: false,
  CONFLICT: false,
  PERMISSION_DENIED: false,
  UNSUPPORTED: false,
  TOO_LARGE: false,
  THROTTLED: true,
  UNAVAILABLE: true,
  TIMEOUT: true,
  LEASE_LOST: false,
  CLOSED: false,
  UNKNOWN: false,
};

/** The module as a second installed copy of the package has it. */
async function secondCopy(): Promise<typeof errors> {
  vi.resetModules();
  const copy = await import('../../src/driver/errors.ts');
  expect(copy.WaybillError).not.toBe(WaybillError);
  return copy;
}

describe('WaybillError', () => {
  it('is an Error with a code, a sentence and its cause', () => {
    const cause = new Error('socket closed');
    const error = new WaybillError('UNAVAILABLE', 'Publishing failed.', { cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'WaybillError', code: 'UNAVAILABLE', message: 'Publishing failed.', cause });
    expect(error.stack).toContain('WaybillError: Publishing failed.');
  });

  it('has a cause also where there is none', () => {
    expect(Object.hasOwn(new WaybillError('CLOSED', 'The bus is closed.'), 'cause')).toBe(true);
  });

  it.each(Object.entries(codes))('%s is retryable: %s', (code, retryable) => {
    expect(new WaybillError(code as WaybillErrorCode, 'x').retryable).toBe(retryable);
  });

  it('is told from other values', () => {
    expect(WaybillError.is(new WaybillError('CLOSED', 'x'))).toBe(true);
    for (const other of [
      new Error('x'),
      { code: 'CLOSED', message: 'x' },
      'CLOSED',
      null,
      undefined,
      7,
      () => undefined,
    ]) {
      expect(WaybillError.is(other)).toBe(false);
    }
  });

  it('is told when another copy of the package made it', async () => {
    const other = await secondCopy();
    const error = new other.WaybillError('TIMEOUT', 'x');
    expect(error).not.toBeInstanceOf(WaybillError);
    expect(WaybillError.is(error)).toBe(true);
    expect(other.WaybillError.is(new WaybillError('TIMEOUT', 'x'))).toBe(true);
    expect(error.retryable).toBe(true);
  });

  it('is told by a mark that every realm shares', () => {
    const mark = vm.runInNewContext(`Symbol.for('waybill.error')`) as symbol;
    expect(mark in WaybillError.prototype).toBe(true);
  });

  it('shows no mark among its members', () => {
    expect(Object.keys(new WaybillError('CLOSED', 'x')).toSorted()).toEqual(['code', 'name']);
  });
});

describe('BatchError', () => {
  const first = new WaybillError('TOO_LARGE', 'Message 3 has 300 KiB.');
  const second = new WaybillError('TIMEOUT', 'Message 5 was not confirmed.');

  it('has the code of its first failure and says how many failed', () => {
    const error = new BatchError(
      [
        { index: 3, error: first },
        { index: 5, error: second },
      ],
      10,
    );
    expect(error).toMatchObject({
      name: 'BatchError',
      code: 'TOO_LARGE',
      message: '2 of 10 failed. The first: Message 3 has 300 KiB.',
      cause: first,
      retryable: false,
    });
    expect(error.failures).toEqual([
      { index: 3, error: first },
      { index: 5, error: second },
    ]);
  });

  it('is a WaybillError, and a WaybillError is no BatchError', () => {
    const error = new BatchError([{ index: 0, error: first }], 1);
    expect(error).toBeInstanceOf(WaybillError);
    expect([WaybillError.is(error), BatchError.is(error)]).toEqual([true, true]);
    expect(BatchError.is(first)).toBe(false);
    expect(BatchError.is({ failures: [] })).toBe(false);
  });

  it('is told when another copy of the package made it', async () => {
    const other = await secondCopy();
    const error = new other.BatchError([{ index: 0, error: first }], 1);
    expect(BatchError.is(error)).toBe(true);
    expect(BatchError.is(new other.WaybillError('CLOSED', 'x'))).toBe(false);
  });

  it('is UNKNOWN where it does not say what failed', () => {
    expect(new BatchError([], 3)).toMatchObject({ code: 'UNKNOWN', failures: [] });
  });
});
