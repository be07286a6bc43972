// Unit tests of the batcher: `send` is a function scripted by the test. It stands for no broker; those are tested for real.
import { describe, expect, it } from 'vitest';
import { FINAL_FOR_COPY } from '../../src/runtime/entry.ts';
import { Bench, failure, message, TIMEOUT, turn } from './kit.ts';

function keep(bench: Bench, id: string, verdict: 'go' | 'wait' = 'go'): unknown[] {
  const ends: unknown[] = [];
  bench.publisher.keep(message(id), { final: FINAL_FOR_COPY, guard: () => verdict }, (error) => ends.push(error));
  return ends;
}

describe('close', () => {
  it('rejects with CLOSED what was not handed over', async () => {
    const bench = new Bench();
    bench.publish('a');
    await turn();
    const b = bench.publish('b');
    bench.publisher.close();
    await turn();
    expect(b.outcome).toBe('CLOSED');
    expect(b.error).toMatchObject({
      message: '"order.placed" (b) to topic "orders" was not stored: the bus is closed.',
    });
  });

  it('rejects with TIMEOUT what is in an open call, and aborts the call', async () => {
    const bench = new Bench();
    const a = bench.publish('a');
    await turn();
    bench.publisher.close();
    await turn();
    expect(a.outcome).toBe('TIMEOUT');
    expect(a.error).toMatchObject({
      message: '"order.placed" (a) to topic "orders" was not confirmed before the bus closed: it may be stored or not.',
    });
    expect(bench.last.signal.aborted).toBe(true);
  });

  it('rejects what waits for a retry: CLOSED, or TIMEOUT where it may be stored', async () => {
    const bench = new Bench();
    const sent = ['sure', 'unsure', 'behind'].map((id) => bench.publish(id, id === 'behind' ? { key: 'k' } : {}));
    await turn();
    await bench.last.failSome({ sure: 'UNAVAILABLE', unsure: 'TIMEOUT', behind: 'UNAVAILABLE' });
    const successor = bench.publish('successor', { key: 'k' });
    await turn();
    bench.publisher.close();
    await turn();
    expect(sent.map(({ outcome }) => outcome)).toEqual(['CLOSED', 'TIMEOUT', 'CLOSED']);
    expect(successor.outcome).toBe('CLOSED');
  });

  it('ends copies that wait for a retry, for their guard, or for a call', async () => {
    const bench = new Bench();
    const retried = keep(bench, 'retried');
    const guarded = keep(bench, 'guarded', 'wait');
    await turn();
    await bench.last.fail(failure('UNAVAILABLE'));
    bench.publish('busy');
    await turn();
    const queued = keep(bench, 'queued');
    bench.publisher.close();
    await turn();
    for (const ends of [retried, guarded, queued]) expect(ends).toEqual([expect.objectContaining({ code: 'CLOSED' })]);
  });

  it('ends a copy in an open call with TIMEOUT, whatever the call says later', async () => {
    for (const stored of [true, false]) {
      const bench = new Bench();
      const ends = keep(bench, 'a');
      await turn();
      bench.publisher.close();
      await turn();
      expect(ends).toEqual([expect.objectContaining({ code: 'TIMEOUT' })]);
      await (stored ? bench.last.store() : bench.last.fail(failure('UNAVAILABLE')));
      expect(ends).toHaveLength(1);
      expect(bench.publisher.pending).toBe(0);
    }
  });

  it('takes nothing more', async () => {
    const bench = new Bench();
    bench.publisher.close();
    const a = bench.publish('a');
    const copy = keep(bench, 'b');
    await turn();
    expect(a.outcome).toBe('CLOSED');
    expect(copy).toEqual([expect.objectContaining({ code: 'CLOSED' })]);
    expect(bench.calls).toHaveLength(0);
    expect(bench.publisher.pending).toBe(0);
  });

  it('sends nothing more, whatever time passes or is poked', async () => {
    const bench = new Bench({ everyMs: 100 });
    bench.publish('a');
    await turn();
    await bench.last.fail(failure('UNAVAILABLE'));
    bench.publish('b', { key: 'k' });
    bench.publisher.close();
    bench.publisher.poke();
    bench.publisher.tick();
    await bench.advance(10 * TIMEOUT);
    expect(bench.calls).toHaveLength(1);
    expect(bench.clock.timers).toBe(0);
  });

  it('wakes whoever waits for what is pending', async () => {
    const bench = new Bench();
    let flushed = false;
    bench.publish('a');
    void bench.publisher.flushed().then(() => (flushed = true));
    bench.publisher.close();
    await turn();
    expect(flushed).toBe(true);
    expect(bench.publisher.pending).toBe(0);
  });

  it('changes nothing the second time', async () => {
    const bench = new Bench();
    const a = bench.publish('a');
    await turn();
    bench.publisher.close();
    bench.publisher.close();
    await turn();
    expect(a.outcome).toBe('TIMEOUT');
  });
});
