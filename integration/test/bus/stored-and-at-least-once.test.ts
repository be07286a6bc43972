import { defineEvent, defineQueue } from '@waybill/core';
import { expect } from 'vitest';
import { z } from 'zod';

import { eventually } from '../../src/index.ts';
import { archive, invoices, Noted, notes, Render } from './contracts.ts';
import {
  Gate,
  Journal,
  missing,
  onBothVersions,
  openBus,
  openChannel,
  outcomeOf,
  takeIds,
  uniquePrefix,
} from './kit.ts';

onBothVersions(({ test, broker }) => {
  test('publish resolves once the broker has it: the count is right at that moment, every time', async () => {
    const { url } = broker();
    const bus = openBus(url, { uses: [notes] });
    const channel = await openChannel(url);
    await bus.provision();
    for (let n = 1; n <= 50; n += 1) {
      await bus.publish(Noted, { n }, { id: `m${n}` });
      expect((await channel.checkQueue(`${bus.prefix}.notes`)).messageCount).toBe(n);
    }
    expect(await bus.depth(notes)).toMatchObject({ ready: 50, deadLettered: 0 });
    expect(await takeIds(url, `${bus.prefix}.notes`)).toEqual(
      Array.from({ length: 50 }, (_, index) => `m${index + 1}`),
    );
  });

  test('every one of 500 concurrent publishes and sends is on the broker when it resolves', async () => {
    const { url } = broker();
    const bus = openBus(url, { uses: [notes, invoices] });
    const numbers = Array.from({ length: 250 }, (_, n) => n);
    await Promise.all(
      numbers.flatMap((n) => [
        bus.publish(Noted, { n }, { id: `p${n}` }),
        bus.send(invoices, Render, { n }, { id: `s${n}` }),
      ]),
    );
    expect(
      missing(
        numbers.map((n) => `p${n}`),
        await takeIds(url, `${bus.prefix}.notes`),
      ),
    ).toEqual([]);
    expect(
      missing(
        numbers.map((n) => `s${n}`),
        await takeIds(url, `${bus.prefix}.invoices`),
      ),
    ).toEqual([]);
  });

  test('publish to a topic that no queue is bound to resolves', async () => {
    const bus = openBus(broker().url, { uses: [Noted] });
    await bus.publish(Noted, { n: 1 });
    expect(bus.health()).toMatchObject({ status: 'up', publisher: { pending: 0 } });
  });

  test('with provision verify, what is missing is named: the queue of a send, the topic of a publish', async () => {
    const { url } = broker();
    const sender = openBus(url, { uses: [invoices], provision: 'verify' });
    await expect(sender.send(invoices, Render, { n: 1 })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining(`"${sender.prefix}.invoices" is missing`) as unknown,
    });
    const publisher = openBus(url, { uses: [Noted], provision: 'verify' });
    await expect(publisher.publish(Noted, { n: 1 })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining(`"${publisher.prefix}.notes" is missing`) as unknown,
    });
    await expect(sender.consume(invoices, { 'invoice.render': () => undefined })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining(`"${sender.prefix}.invoices" is missing`) as unknown,
    });
  });

  test('what somebody deleted is named, and kills no other publish', async () => {
    const { url } = broker();
    const prefix = uniquePrefix();
    await openBus(url, { prefix, uses: [notes, invoices] }).provision();
    const Other = defineEvent('other.seen', z.object({ n: z.number() }), { topic: 'others' });
    const others = defineQueue('others', { handles: [Other] });
    await openBus(url, { prefix, uses: [others] }).provision();
    const bus = openBus(url, { prefix, uses: [notes, invoices, others], provision: 'verify', sendTimeoutMs: 10_000 });
    await bus.publish(Noted, { n: 0 });
    await bus.send(invoices, Render, { n: 0 });
    const channel = await openChannel(url);
    await channel.deleteQueue(`${prefix}.invoices`);
    await channel.deleteExchange(`${prefix}.notes`);
    const good = Array.from({ length: 100 }, (_, n) => bus.publish(Other, { n }, { id: `g${n}` }));
    const bad = [
      outcomeOf('publish', () => bus.publish(Noted, { n: 1 })),
      outcomeOf('send', () => bus.send(invoices, Render, { n: 1 })),
      outcomeOf('delayed send', () => bus.send(invoices, Render, { n: 2 }, { delayMs: 5_000 })),
    ];
    good.push(...Array.from({ length: 100 }, (_, n) => bus.publish(Other, { n: 100 + n }, { id: `g${100 + n}` })));
    await Promise.all(good);
    const [publish, send, delayed] = await Promise.all(bad);
    const named = (name: string): unknown => ({
      code: 'NOT_FOUND',
      error: expect.objectContaining({ message: expect.stringContaining(`"${prefix}.${name}"`) as unknown }) as unknown,
    });
    expect(publish).toMatchObject(named('notes') as object);
    expect(send).toMatchObject(named('invoices') as object);
    expect(delayed).toMatchObject(named('invoices') as object);
    expect(new Set(await takeIds(url, `${prefix}.others`)).size).toBe(200);
  });

  test('each queue of a topic gets its own copy of every message', async () => {
    const bus = openBus(broker().url, { uses: [notes, archive] });
    const [first, second] = [new Journal(), new Journal()];
    await bus.consume(notes, { 'note.taken': first.handler() });
    await bus.consume(archive, { 'note.taken': second.handler() });
    const ids = Array.from({ length: 100 }, (_, n) => `m${n}`);
    await Promise.all(ids.map((id, n) => bus.publish(Noted, { n }, { id })));
    await eventually(() => {
      expect(first.succeeded.toSorted()).toEqual(ids.toSorted());
      expect(second.succeeded.toSorted()).toEqual(ids.toSorted());
    });
    await eventually(async () => expect(await bus.depth(notes)).toMatchObject({ ready: 0, deadLettered: 0 }));
  });

  test('two processes of one consumer share the work of its queue', async () => {
    const { url } = broker();
    const prefix = uniquePrefix();
    const [first, second] = [new Journal(), new Journal()];
    const buses = [openBus(url, { prefix, uses: [notes] }), openBus(url, { prefix, uses: [notes] })] as const;
    const slow = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2));
    await buses[0].consume(notes, { 'note.taken': first.handler(slow) }, { concurrency: 4 });
    await buses[1].consume(notes, { 'note.taken': second.handler(slow) }, { concurrency: 4 });
    const ids = Array.from({ length: 400 }, (_, n) => `m${n}`);
    await Promise.all(ids.map((id, n) => buses[n % 2 === 0 ? 0 : 1].publish(Noted, { n }, { id })));
    await eventually(() => expect([...first.succeeded, ...second.succeeded].toSorted()).toEqual(ids.toSorted()));
    expect(Math.min(first.succeeded.length, second.succeeded.length)).toBeGreaterThan(40);
  });

  test("a message is the next process's again when its own closes before its handler has finished", async () => {
    const { url } = broker();
    const prefix = uniquePrefix();
    const first = openBus(url, { prefix, uses: [notes] });
    const started = new Gate();
    const aborted = new Gate();
    await first.consume(notes, {
      'note.taken': async (_, { signal }) => {
        signal.addEventListener('abort', () => aborted.open());
        started.open();
        await new Promise(() => {});
      },
    });
    await first.publish(Noted, { n: 1 }, { id: 'held' });
    await started.opened;
    const second = openBus(url, { prefix, uses: [notes] });
    const journal = new Journal();
    await second.consume(notes, { 'note.taken': journal.handler() });
    const startedAt = performance.now();
    await first.close({ deadlineMs: 1_500 });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    await aborted.opened;
    await eventually(() =>
      expect(journal.runs).toMatchObject([{ id: 'held', attempt: 1, redelivered: true, ok: true }]),
    );
  });

  test('what was accepted in a burst just before a close is accepted, and what was not started is back', async () => {
    const { url } = broker();
    const prefix = uniquePrefix();
    const [first, second] = [openBus(url, { prefix, uses: [notes] }), openBus(url, { prefix, uses: [notes] })] as const;
    const [journal, later] = [new Journal(), new Journal()];
    const gate = new Gate();
    const held = new Gate();
    const work = async ({ n }: { readonly n: number }): Promise<void> => {
      if (n === 0) await held.opened;
      if (n > 0) await gate.opened;
    };
    await first.consume(notes, { 'note.taken': journal.handler(work) }, { concurrency: 301 });
    await Promise.all(Array.from({ length: 25 }, (_, n) => first.publish(Noted, { n: -1 }, { id: `warm${n}` })));
    await eventually(() => expect(journal.succeeded).toHaveLength(25));
    await first.publish(Noted, { n: 0 }, { id: 'slow' });
    const ids = Array.from({ length: 900 }, (_, n) => `m${n}`);
    await Promise.all(ids.map((id, n) => first.publish(Noted, { n: n + 1 }, { id })));
    await eventually(() => expect(journal.runs).toHaveLength(25 + 1 + 300));
    gate.open();
    const closed = first.close();
    held.open();
    await closed;
    await second.consume(notes, { 'note.taken': later.handler() });
    await eventually(() => expect(missing(['slow', ...ids], [...journal.succeeded, ...later.succeeded])).toEqual([]));
    await eventually(async () => expect(await second.depth(notes)).toMatchObject({ ready: 0, deadLettered: 0 }));
    expect(later.runs.filter(({ id }) => journal.distinct.has(id))).toEqual([]);
  });
});
