import { describe, expect, it } from 'vitest';
import { memory } from '../src/index.ts';
import { admin, bodies, ledger, message, never, open, setup, toLedger } from './kit.ts';

const batch = ['a1', 'b1', 'a2', 'b2', 'a3'].map((id) => toLedger(id, id.charAt(0)));

describe('an ordered queue', () => {
  it('gives the messages of a key in stored order, also to one that asks singly', async () => {
    const { driver } = await setup();
    const consumer = await open(driver, ledger);
    await driver.send(batch, never);
    const received: string[] = [];
    for (let turn = 0; turn < 5; turn++) received.push(...bodies(await consumer.receive(1)));
    expect(received.filter((id) => id.startsWith('a'))).toEqual(['a1', 'a2', 'a3']);
    expect(received.filter((id) => id.startsWith('b'))).toEqual(['b1', 'b2']);
  });

  it('gives a key with something unsettled to nobody else, other keys to everybody', async () => {
    const { broker, driver } = await setup();
    const [first, second] = [await open(driver, ledger), await open(memory({ broker }), ledger)];
    await driver.send(batch, never);
    const held = await first.receive(1);
    expect(bodies(held)).toEqual(['a1']);
    const others = await second.receive();
    expect(bodies(others)).toEqual(['b1', 'b2']);
    expect(await second.poll()).toEqual([]);
    const received = second.receive();
    await first.accept(...held);
    expect(bodies(await received)).toEqual(['a2', 'a3']);
  });

  it('gives later messages of a key to the one who holds the earlier', async () => {
    const { broker, driver } = await setup();
    const [first, second] = [await open(driver, ledger), await open(memory({ broker }), ledger)];
    await driver.send([toLedger('a1', 'a')], never);
    const [a1] = await first.receive();
    await driver.send([toLedger('a2', 'a')], never);
    expect(await second.poll()).toEqual([]);
    const [a2] = await first.receive();
    if (a1 === undefined || a2 === undefined) throw new Error('nothing received');
    await first.accept(a1);
    await driver.send([toLedger('a3', 'a')], never);
    expect(await second.poll()).toEqual([]);
    await first.accept(a2);
    expect(bodies(await second.receive())).toEqual(['a3']);
  });

  it('keeps no claim of a former holder on a key', async () => {
    const { broker, driver } = await setup();
    const [first, second] = [await open(driver, ledger), await open(memory({ broker }), ledger)];
    await driver.send(
      ['a1', 'a2', 'a3'].map((id) => toLedger(id, 'a')),
      never,
    );
    await first.accept(...(await first.receive(1)));
    expect(bodies(await second.receive(1))).toEqual(['a2']);
    expect(await first.poll()).toEqual([]);
    expect(bodies(await second.receive(1))).toEqual(['a3']);
  });

  it('gives a released delivery again to the one who still holds its key', async () => {
    const { driver } = await setup();
    const consumer = await open(driver, ledger);
    await driver.send(batch, never);
    const [a1] = await consumer.receive();
    if (a1 === undefined) throw new Error('nothing received');
    await consumer.release(a1);
    expect(bodies(await consumer.receive())).toEqual(['a1']);
  });

  it('puts a released delivery back at the head of its key', async () => {
    const { broker, driver } = await setup();
    const [first, second] = [await open(driver, ledger), await open(memory({ broker }), ledger)];
    await driver.send(batch, never);
    await first.release(...(await first.receive(4)));
    expect(bodies(await second.receive()).filter((id) => id.startsWith('a'))).toEqual(['a1', 'a2', 'a3']);
  });

  it('hands a key on, in order, when its lease runs out or its holder is killed', async () => {
    const { broker, driver, time } = await setup({ leaseMs: 1_000 });
    const [first, second] = [await open(driver, ledger), await open(memory({ broker, leaseMs: 1_000 }), ledger)];
    await driver.send(batch, never);
    await first.receive();
    await time.advance(1_000);
    const held = await second.receive();
    expect(bodies(held).filter((id) => id.startsWith('a'))).toEqual(['a1', 'a2', 'a3']);
    await second.release(...held);
    await first.receive();
    driver.connection.kill();
    expect(await second.receive()).toHaveLength(5);
  });

  it('takes the id for a key where there is none', async () => {
    const { broker, driver } = await setup();
    const [first, second] = [await open(driver, ledger), await open(memory({ broker }), ledger)];
    await driver.send(
      ['x', 'y'].map((id) => message(id, { target: { queue: 'ledger', lane: 'work' } })),
      never,
    );
    expect(bodies(await first.receive(1))).toEqual(['x']);
    expect(bodies(await second.receive())).toEqual(['y']);
  });

  it('lets no busy key starve another', async () => {
    const { driver } = await setup();
    const consumer = await open(driver, ledger);
    await driver.send(
      Array.from({ length: 100 }, (_, index) => toLedger(`hot${index}`, 'hot')),
      never,
    );
    await driver.send([toLedger('cold', 'cold')], never);
    expect(bodies(await consumer.receive(4))).toContain('cold');
  });

  it('frees a key whose first message is rejected', async () => {
    const { broker, driver } = await setup();
    const [first, second] = [await open(driver, ledger), await open(memory({ broker }), ledger)];
    await driver.send([toLedger('a1', 'a'), toLedger('a2', 'a')], never);
    const [a1] = await first.receive(1);
    if (a1 === undefined) throw new Error('nothing received');
    const received = second.receive();
    await first.reject(a1);
    expect(bodies(await received)).toEqual(['a2']);
  });

  it('is empty after a purge, and goes on', async () => {
    const { driver } = await setup();
    const consumer = await open(driver, ledger);
    await driver.send(batch, never);
    const held = await consumer.receive(1);
    await admin(driver).purge(ledger, 'work');
    expect(await admin(driver).depth(ledger)).toMatchObject({ ready: 0, inFlight: 1 });
    await driver.send([toLedger('a4', 'a')], never);
    await consumer.accept(...held);
    expect(bodies(await consumer.receive())).toEqual(['a4']);
  });
});

describe("ordering 'one-process'", () => {
  const capabilities = { ordering: 'one-process' } as const;

  it('gives everything to one process, and to the next when it closes', async () => {
    const { broker, driver } = await setup({ capabilities });
    const [first, second] = [await open(driver, ledger), await open(memory({ broker, capabilities }), ledger)];
    const received = second.receive();
    await driver.send(batch, never);
    const held = await first.receive(2);
    expect(bodies(held)).toEqual(['a1', 'b1']);
    await first.accept(...held.slice(0, 1));
    await first.subscription.close(0);
    expect(bodies(await received)).toEqual(['b1', 'a2', 'b2', 'a3']);
  });

  it('passes on when the active one closes without holding anything', async () => {
    const { broker, driver } = await setup({ capabilities });
    const [first, second] = [await open(driver, ledger), await open(memory({ broker, capabilities }), ledger)];
    await driver.send(batch, never);
    expect(await second.poll()).toEqual([]);
    const received = second.receive();
    await first.subscription.close(0);
    expect(await received).toHaveLength(5);
  });

  it('passes on when the connection of the active one is cut', async () => {
    const { broker, driver } = await setup({ capabilities });
    const [first, second] = [await open(driver, ledger), await open(memory({ broker, capabilities }), ledger)];
    await driver.send(batch, never);
    await first.receive();
    driver.connection.cut();
    expect(await second.receive()).toHaveLength(5);
  });
});

describe("ordering 'none'", () => {
  it('refuses ordered queues', async () => {
    const { broker, driver } = await setup();
    const plain = memory({ broker, capabilities: { ordering: 'none' } });
    await expect(admin(plain).apply({ topics: [], queues: [ledger] }, never)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    });
    await expect(open(plain, ledger)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    await expect(open(driver, ledger)).resolves.toBeDefined();
  });
});
