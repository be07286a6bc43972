// Unit tests of the batcher: `send` is a function scripted by the test. It stands for no broker; those are tested for real.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BatchError, type OutgoingMessage } from '../../src/driver/index.ts';
import type { HandleScope, Middleware } from '../../src/index.ts';
import { composeHandle, withDispatch } from '../../src/runtime/middleware.ts';
import { Bench, failure, turn } from './kit.ts';

type Listener = (...parameters: unknown[]) => void;

/** What would have ended the process. */
const fatal: unknown[] = [];
let listeners: { uncaughtException: Listener[]; unhandledRejection: Listener[] };
const listen = (error: unknown): void => void fatal.push(error);

beforeEach(() => {
  fatal.length = 0;
  listeners = {
    uncaughtException: process.listeners('uncaughtException') as Listener[],
    unhandledRejection: process.listeners('unhandledRejection') as Listener[],
  };
  for (const name of ['uncaughtException', 'unhandledRejection'] as const) {
    process.removeAllListeners(name);
    process.on(name, listen);
  }
});

afterEach(() => {
  for (const name of ['uncaughtException', 'unhandledRejection'] as const) {
    process.removeAllListeners(name);
    for (const listener of listeners[name]) process.on(name, listener);
  }
});

describe('a send that throws instead of rejecting', () => {
  it('fails its messages and not the process', async () => {
    const send = (): Promise<void> => {
      throw new TypeError('no such function');
    };
    const bench = new Bench({}, { send });
    const a = bench.publish('a');
    await turn();
    expect(fatal).toEqual([]);
    expect(a.outcome).toBe('UNKNOWN');
    const b = bench.publish('b');
    await turn();
    expect(b.outcome).toBe('UNKNOWN');
  });

  it('fails its messages also where a middleware throws', async () => {
    const rude: Middleware = {
      name: 'rude',
      dispatch: () => {
        throw new TypeError('no such function');
      },
    };
    const bench = new Bench({}, { send: withDispatch([rude], () => Promise.resolve()) });
    const a = bench.publish('a');
    await turn();
    expect(fatal).toEqual([]);
    expect(a.outcome).toBe('UNKNOWN');
  });
});

describe('a send that rejects with something odd', () => {
  const rejected = async (thrown: unknown): Promise<string> => {
    const bench = new Bench();
    const a = bench.publish('a');
    await turn();
    await bench.last.fail(thrown);
    expect(fatal).toEqual([]);
    return a.outcome;
  };

  it.each([null, 'no', 7, { code: 7 }])('fails its messages: %j', async (thrown) => {
    expect(await rejected(thrown)).toBe('UNKNOWN');
  });

  it('fails its messages: undefined, which is no success', async () => {
    expect(await rejected(undefined)).toBe('UNKNOWN');
  });

  it('fails its messages: what JSON has no form for', async () => {
    expect(await rejected({ offset: 7n })).toBe('UNKNOWN');
  });
});

describe('a middleware', () => {
  it('that returns nothing sends nothing twice', async () => {
    let sends = 0;
    const forgetful: Middleware = {
      name: 'forgetful',
      dispatch: ((batch, next) => {
        void next(batch);
      }) as NonNullable<Middleware['dispatch']>,
    };
    const send = async (): Promise<void> => void (sends += 1);
    const bench = new Bench({}, { send: withDispatch([forgetful], send) });
    bench.publish('a');
    await turn();
    expect(sends).toBe(1);
  });

  it('that splits a batch changes nothing of which message failed', async () => {
    const halves: Middleware = {
      name: 'halves',
      dispatch: async (batch, next) => {
        await next(batch.slice(0, 2));
        await next(batch.slice(2));
      },
    };
    let calls = 0;
    const send = async (batch: readonly OutgoingMessage[]): Promise<void> => {
      calls += 1;
      if (calls === 2) throw new BatchError([{ index: 0, error: failure('TOO_LARGE') }], batch.length);
    };
    const bench = new Bench({}, { send: withDispatch([halves], send) });
    const sent = ['a', 'b', 'c', 'd'].map((id) => bench.publish(id));
    await turn();
    expect(sent.map(({ outcome }) => outcome)).toEqual(['stored', 'stored', 'TOO_LARGE', 'stored']);
  });

  it('around an attempt that returns nothing runs no handler that it did not ask for', async () => {
    let runs = 0;
    const skips = { name: 'skips', handle: () => undefined } as unknown as Middleware;
    await composeHandle([skips])?.({} as HandleScope, async () => void (runs += 1));
    expect(runs).toBe(0);
  });

  it('is around every hand-over, the first outermost', async () => {
    const order: string[] = [];
    const named = (name: string): Middleware => ({
      name,
      dispatch: async (batch, next) => {
        order.push(`${name} in`);
        await next(batch);
        order.push(`${name} out`);
      },
    });
    const send = withDispatch([named('a'), { name: 'none' }, named('b')], async () => void order.push('send'));
    const bench = new Bench({}, { send });
    const sent = bench.publish('x');
    await turn();
    expect(order).toEqual(['a in', 'b in', 'send', 'b out', 'a out']);
    expect(sent.outcome).toBe('stored');
  });
});
