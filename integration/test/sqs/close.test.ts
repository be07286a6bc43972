import { describe, expect, test } from 'vitest';
import {
  consume,
  idOf,
  many,
  message,
  place,
  rest,
  sendAll,
  servers,
  settleAll,
  signal,
  start,
  take,
  work,
} from './consuming-kit.ts';

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(servers())('close, $name', (server) => {
  test('gives back what was handed out and not settled, and what nobody received', async () => {
    const driver = start(server);
    const queue = await place(driver);
    const closing = await consume(driver, queue);
    await sendAll(driver, many(40, work(queue)));
    const held = await take(closing, 3);
    await closing.receive(1, signal());
    await settleAll(closing, held.slice(0, 1));
    const closedAt = Date.now();
    await closing.close(Date.now() + 5_000);
    const other = await consume(start(server), queue);
    const rests = await take(other, 39);
    expect(Date.now() - closedAt).toBeLessThan(8_000);
    expect(new Set(rests.map((delivery) => idOf(delivery))).size).toBe(39);
    await settleAll(other, rests);
    expect(await driver.admin.depth(queue)).toMatchObject({ ready: 0, inFlight: 0 });
  });

  test('gives back what a poll brings that is open meanwhile', async () => {
    const driver = start(server, { pollSeconds: 3 });
    const queue = await place(driver);
    const closing = await consume(driver, queue);
    const stop = new AbortController();
    const waiting = closing.receive(10, stop.signal);
    await sleep(300);
    const closed = closing.close(Date.now() + 8_000);
    expect(await waiting).toEqual([]);
    await driver.send([message('m', work(queue))], signal());
    await closed;
    const other = await consume(start(server), queue);
    const [delivery] = await take(other, 1, 3_000);
    expect(delivery).toMatchObject({ deliveries: 2 });
    await settleAll(other, delivery === undefined ? [] : [delivery]);
  });

  test('ends by the deadline though a poll waits longer, and loses nothing by it', async () => {
    const driver = start(server, { pollSeconds: 20, leaseMs: 80_000 });
    const queue = await place(driver);
    const closing = await consume(driver, queue);
    const waiting = closing.receive(10, signal());
    await sleep(200);
    const before = Date.now();
    await closing.close(Date.now() + 500);
    expect(Date.now() - before).toBeLessThan(1_500);
    expect(await waiting).toEqual([]);
    await expect(closing.receive(1, signal())).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test('a second close waits for the first', async () => {
    const driver = start(server, { pollSeconds: 2 });
    const queue = await place(driver);
    const closing = await consume(driver, queue);
    const waiting = closing.receive(10, signal());
    await sleep(100);
    await Promise.all([closing.close(Date.now() + 5_000), closing.close(Date.now() + 5_000)]);
    expect(await waiting).toEqual([]);
  });

  test('what a poll takes that was left open at the deadline goes back', async () => {
    const driver = start(server, { pollSeconds: 20, leaseMs: 40_000 });
    const queue = await place(driver);
    const closing = await consume(driver, queue);
    const waiting = closing.receive(10, signal());
    await sleep(200);
    await closing.close(Date.now());
    await waiting;
    const sentAt = Date.now();
    await driver.send([message('m', work(queue))], signal());
    const other = await consume(start(server), queue);
    const [delivery] = await take(other, 1, 8_000);
    expect(Date.now() - sentAt).toBeLessThan(6_000);
    await settleAll(other, delivery === undefined ? [] : [delivery]);
    expect(await rest(other, 300)).toEqual([]);
  });
});
