import { describe, expect, it } from 'vitest';
import { WaybillError } from '@waybill/core/driver';
import { fakeTime, memory, MemoryBroker } from '../src/index.ts';

function problem(make: () => unknown): WaybillError {
  try {
    make();
  } catch (error) {
    if (WaybillError.is(error)) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('memory options', () => {
  it('are refused with all problems at once', () => {
    const options: object = JSON.parse(
      '{"leaseMs":"long","capabilities":{"reject":"never","maxDelayMs":-1},"colour":"red"}',
    );
    const error = problem(() => memory(options));
    expect(error.code).toBe('INVALID_ARGUMENT');
    for (const name of [
      'options.leaseMs',
      'options.capabilities.reject',
      'options.capabilities.maxDelayMs',
      'colour',
    ]) {
      expect(error.message).toContain(name);
    }
  });

  it('take Infinity for a time', () => {
    expect(memory({ leaseMs: Number.POSITIVE_INFINITY }).name).toBe('memory');
    expect(problem(() => memory({ leaseMs: Number.NaN })).code).toBe('INVALID_ARGUMENT');
  });

  it('refuse a clock beside a broker', () => {
    const clock = fakeTime();
    expect(problem(() => memory({ clock, broker: new MemoryBroker({ clock }) })).message).toContain('options.clock');
  });

  it('declare what they were told, and the defaults for the rest', () => {
    const driver = memory({ capabilities: { ordering: 'none', envelope: 'binary' }, limits: { send: { count: 10 } } });
    expect(driver.capabilities).toEqual({
      ordering: 'none',
      filtersTypes: true,
      reject: 'annotated',
      envelope: 'binary',
      maxDelayMs: Number.POSITIVE_INFINITY,
      delayErrorMs: 0,
      maxHoldMs: Number.POSITIVE_INFINITY,
      maxMessageBytes: 1_048_576,
      maxDeliveries: 100,
    });
    expect(driver.limits.send).toEqual({ count: 10, bytes: 16_777_216, concurrency: 8, everyMs: 0 });
  });

  it('make one broker a driver, unless it is shared', () => {
    const broker = new MemoryBroker();
    expect(memory({ broker }).broker).toBe(broker);
    expect(memory().broker).not.toBe(memory().broker);
  });

  it('give the clock to the broker they make', () => {
    const clock = fakeTime();
    expect(memory({ clock }).broker.clock).toBe(clock);
  });
});
