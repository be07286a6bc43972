import { randomBytes } from 'node:crypto';

import { defineCommand, defineEvent, defineQueue, Reject } from '@waybill/core';
import { expect } from 'vitest';
import { z } from 'zod';

import { eventually } from '../../src/index.ts';
import { archive, Noted, notes } from './contracts.ts';
import { Journal, lettersOf, makeDeadLetters, onBothVersions, openBus, openChannel, uniquePrefix } from './kit.ts';

onBothVersions(({ test, broker }) => {
  test('a dead letter tells reason, error, attempts and topic, for each reason', async () => {
    const { url } = broker();
    const prefix = uniquePrefix();
    const bus = openBus(url, { prefix, uses: [notes] });
    await bus.provision();
    await poison(url, prefix);
    await bus.publish(Noted, { n: 1, text: 'fails' }, { id: 'failing' });
    await bus.publish(Noted, { n: 2, text: 'rejects' }, { id: 'rejected' });
    await bus.publish(Noted, { n: 3, text: 'hangs' }, { id: 'hanging' });
    await bus.consume(
      notes,
      {
        'note.taken': async ({ text }, { signal }) => {
          if (text === 'rejects') throw new Reject('not wanted');
          if (text === 'fails') throw new RangeError('it fails');
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
        },
      },
      { retry: { delaysMs: [50, 50], jitter: 0 }, timeoutMs: 200, unknownForMs: 0 },
    );
    await eventually(async () => expect((await bus.depth(notes)).deadLettered).toBe(7));
    const letters = await lettersOf(bus, notes);
    const byReason = Object.fromEntries(letters.map((letter) => [letter.reason, letter]));
    expect(Object.keys(byReason).toSorted()).toEqual([
      'handler-failed',
      'invalid',
      'rejected',
      'timed-out',
      'undecodable',
      'unknown-type',
      'unknown-version',
    ]);
    const common = { queue: 'notes', redrives: 0, deadAt: expect.any(Number) as unknown };
    expect(byReason).toMatchObject({
      'handler-failed': {
        ...common,
        id: 'failing',
        type: 'note.taken',
        topic: 'notes',
        attempts: 3,
        error: {
          name: 'RangeError',
          message: 'it fails',
          stack: expect.stringContaining('dead-letters.test') as unknown,
        },
        message: { data: { n: 1, text: 'fails' } },
      },
      rejected: { ...common, id: 'rejected', topic: 'notes', attempts: 1, error: { message: 'not wanted' } },
      'timed-out': {
        ...common,
        id: 'hanging',
        topic: 'notes',
        attempts: 3,
        error: { message: expect.stringContaining('200 ms') as unknown },
      },
      undecodable: { ...common, attempts: 1, error: { message: expect.stringContaining('decoded') as unknown } },
      invalid: { ...common, id: 'invalid', topic: 'notes', attempts: 1 },
      'unknown-type': {
        ...common,
        id: 'unknown-type',
        type: 'note.burnt',
        attempts: 1,
        error: { message: expect.stringContaining('"note.burnt"') as unknown },
      },
      'unknown-version': {
        ...common,
        id: 'unknown-version',
        topic: 'notes',
        attempts: 1,
        error: { message: expect.stringContaining('version 2') as unknown },
      },
    });
  });

  test("a letter of the broker's own is listed with the reason that the broker gives", async () => {
    const { url } = broker();
    const bus = openBus(url, { uses: [notes] });
    await bus.publish(Noted, { n: 1 }, { id: 'bounced' });
    const channel = await openChannel(url);
    const message = await channel.get(`${bus.prefix}.notes`);
    if (message === false) throw new Error('nothing to reject');
    channel.reject(message, false);
    const [letter] = await eventually(async () => {
      const letters = await lettersOf(bus, notes);
      expect(letters).toHaveLength(1);
      return letters;
    });
    expect(letter).toMatchObject({ id: 'bounced', reason: 'rejected', attempts: 1, message: { data: { n: 1 } } });
    const journal = new Journal();
    await bus.consume(notes, { 'note.taken': journal.handler() });
    expect(await bus.redrive(notes)).toEqual({ redriven: 1, kept: 0 });
    await eventually(() => expect(journal.runs).toMatchObject([{ id: 'bounced', attempt: 1, ok: true }]));
  });

  test('two processes that list at the same time each see every dead letter, and take none', async () => {
    const { url } = broker();
    const prefix = uniquePrefix();
    const [first, second] = [openBus(url, { prefix, uses: [notes] }), openBus(url, { prefix, uses: [notes] })] as const;
    const ids = Array.from({ length: 230 }, (_, n) => `m${n}`);
    await makeDeadLetters(first, ids);
    for (let round = 0; round < 3; round += 1) {
      const [one, two] = await Promise.all([lettersOf(first, notes), lettersOf(second, notes)]);
      expect(one.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
      expect(two.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
    }
    await eventually(async () =>
      expect(await first.depth(notes)).toMatchObject({ ready: 0, deadLettered: ids.length }),
    );
  });

  test('purge empties the lane that it names and no other', async () => {
    const bus = openBus(broker().url, { uses: [notes, archive] });
    await makeDeadLetters(bus, ['a', 'b', 'c']);
    await bus.publish(Noted, { n: 1 });
    expect(await bus.depth(notes)).toMatchObject({ ready: 1, deadLettered: 3 });
    const kept = (await bus.depth(archive)).ready;
    await bus.purge(notes, 'dead');
    expect(await bus.depth(notes)).toMatchObject({ ready: 1, deadLettered: 0 });
    await bus.purge(notes, 'work');
    expect(await bus.depth(notes)).toMatchObject({ ready: 0, deadLettered: 0 });
    expect(await bus.depth(archive)).toMatchObject({ ready: kept, deadLettered: 0 });
    expect(await lettersOf(bus, notes)).toEqual([]);
  });

  test('a foreign body is byte-identical after its retries and as a dead letter', async () => {
    const { url } = broker();
    const bus = openBus(url, { uses: [notes] });
    await bus.provision();
    const structured = Buffer.from(
      `{\n\t"type" : "note.taken",  "specversion":"1.0", "id":"odd", "source":"/x", "data" : {"n":  1e0, "text":"\\u00e9\\/"} , "extra":1.0 }\n`,
    );
    const garbage = randomBytes(2_000);
    const channel = await openChannel(url);
    const queue = `${bus.prefix}.notes`;
    channel.sendToQueue(queue, structured, {
      contentType: 'application/cloudevents+json',
      headers: { Custom: 'kept' },
    });
    channel.sendToQueue(queue, garbage, { contentType: 'application/cloudevents+json' });
    const journal = new Journal();
    const failing = journal.handler(() => {
      throw new Error('no');
    });
    await bus.consume(notes, { 'note.taken': failing }, { retry: { delaysMs: [20, 20], jitter: 0 } });
    await eventually(async () => expect((await bus.depth(notes)).deadLettered).toBe(2));
    const letters = await lettersOf(bus, notes);
    const bodyOf = (reason: string): unknown => letters.find((letter) => letter.reason === reason)?.delivery.body;
    expect(bodyOf('handler-failed')).toEqual(structured);
    expect(bodyOf('undecodable')).toEqual(garbage);
    expect(letters.find(({ id }) => id === 'odd')?.delivery.headers).toMatchObject({ custom: 'kept' });
    expect(journal.runs.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  });
});

/** What no process of this version can handle: undecodable, invalid, of an unknown type, of a newer version. */
async function poison(url: string, prefix: string): Promise<void> {
  const channel = await openChannel(url);
  channel.sendToQueue(`${prefix}.notes`, Buffer.from('{ not json'), { contentType: 'application/cloudevents+json' });
  const Loose = defineEvent('note.taken', z.object({ n: z.string() }), { topic: 'notes' });
  await openBus(url, { prefix, uses: [Loose] }).publish(Loose, { n: 'no number' }, { id: 'invalid' });
  const Newer = defineEvent('note.taken', z.object({ n: z.number() }), { topic: 'notes' }).evolve(
    z.object({ n: z.number(), more: z.string() }),
    (older) => ({ ...older, more: '' }),
  );
  await openBus(url, { prefix, uses: [Newer] }).publish(Newer, { n: 1, more: 'x' }, { id: 'unknown-version' });
  const Burnt = defineCommand('note.burnt', z.object({ n: z.number() }));
  const other = defineQueue('notes', { handles: [Burnt] });
  const sender = openBus(url, { prefix, uses: [other], provision: 'verify' });
  await sender.send(other, Burnt, { n: 1 }, { id: 'unknown-type' });
}
