import { Reject } from '@waybill/core';
import { expect } from 'vitest';

import { eventually } from '../../src/index.ts';
import { archive, Noted, notes } from './contracts.ts';
import { Journal, lettersOf, onBothVersions, openBus } from './kit.ts';

onBothVersions(({ test, broker }) => {
  test('redrive takes the letters that its filter wants back to their own queue, attempts from 1', async () => {
    const bus = openBus(broker().url, { uses: [notes, archive] });
    const sibling = new Journal();
    await bus.consume(archive, { 'note.taken': sibling.handler() });
    let fixed = false;
    const journal = new Journal();
    const handler = journal.handler<{ n: number }>(({ n }, { attempt }) => {
      if (!fixed) throw n % 2 === 0 ? new Reject('even') : new Error(`attempt ${attempt}`);
    });
    await bus.consume(notes, { 'note.taken': handler }, { retry: { delaysMs: [20], jitter: 0 } });
    const ids = Array.from({ length: 40 }, (_, n) => `m${n}`);
    await Promise.all(ids.map((id, n) => bus.publish(Noted, { n }, { id })));
    await eventually(async () => expect(await bus.depth(notes)).toMatchObject({ ready: 0, deadLettered: 40 }));
    await eventually(() => expect(sibling.succeeded).toHaveLength(40));
    fixed = true;
    const before = journal.runs.length;
    expect(await bus.redrive(notes, { where: ({ reason }) => reason === 'handler-failed' })).toEqual({
      redriven: 20,
      kept: 20,
    });
    await eventually(() => expect(journal.runs.length - before).toBe(20));
    const again = journal.runs.slice(before);
    expect(again.every(({ data, attempt, ok }) => data.n % 2 === 1 && attempt === 1 && ok)).toBe(true);
    expect((await lettersOf(bus, notes)).map(({ reason }) => reason)).toEqual(
      Array.from({ length: 20 }, () => 'rejected'),
    );
    expect(await bus.redrive(notes, { max: 5 })).toMatchObject({ redriven: 5 });
    await eventually(async () => expect(await bus.depth(notes)).toMatchObject({ ready: 0, deadLettered: 15 }));
    await eventually(() => expect(journal.succeeded).toHaveLength(25));
    expect(sibling.succeeded).toHaveLength(40);
  });

  test('a letter that fails again after its redrive is one letter once more, and can be redriven again', async () => {
    const bus = openBus(broker().url, { uses: [notes] });
    const journal = new Journal();
    let fixed = false;
    const handler = journal.handler(() => {
      if (!fixed) throw new Error('still broken');
    });
    await bus.consume(notes, { 'note.taken': handler }, { retry: { delaysMs: [20], jitter: 0 } });
    const ids = Array.from({ length: 20 }, (_, n) => `m${n}`);
    await Promise.all(ids.map((id, n) => bus.publish(Noted, { n }, { id })));
    for (const redrives of [0, 1, 2]) {
      await eventually(async () => expect(await bus.depth(notes)).toMatchObject({ ready: 0, deadLettered: 20 }));
      const letters = await lettersOf(bus, notes);
      expect(letters.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
      expect(letters.every((letter) => letter.redrives === redrives && letter.attempts === 2)).toBe(true);
      fixed = redrives === 2;
      expect(await bus.redrive(notes)).toEqual({ redriven: 20, kept: 0 });
    }
    await eventually(() => expect(journal.succeeded.toSorted()).toEqual(ids.toSorted()));
    await eventually(async () => expect(await bus.depth(notes)).toMatchObject({ ready: 0, deadLettered: 0 }));
    expect(journal.of(7).map(({ attempt }) => attempt)).toEqual([1, 2, 1, 2, 1, 2, 1]);
  });
});
