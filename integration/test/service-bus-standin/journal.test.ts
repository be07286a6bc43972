import { appendFileSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';

import { expect, onTestFinished, test } from 'vitest';

import { openNamespace } from '../../src/service-bus-standin/durable-namespace.ts';
import type { Namespace } from '../../src/service-bus-standin/namespace.ts';

function newJournal(): string {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-journal-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, 'journal');
}

async function receiveAll(namespace: Namespace, path: string): Promise<unknown[]> {
  const subjects: unknown[] = [];
  const mailbox = namespace.mailbox(path);
  const consumer = {
    deletes: true,
    credit: () => 1,
    deliver: ({ content }: { content: { subject?: string } }) => void subjects.push(content.subject),
  };
  mailbox.addConsumer(consumer);
  await turn();
  mailbox.removeConsumer(consumer);
  return subjects;
}

test('a journal that grew begins anew with what is left', async () => {
  const path = newJournal();
  const namespace = openNamespace(path, 5000);
  namespace.createQueue('kept');
  namespace.createQueue('busy');
  namespace.send('kept', [{ subject: 'a' }, { subject: 'b' }]);
  for (let round = 0; round < 100; round += 1) {
    namespace.send('busy', [{ subject: String(round) }]);
    await receiveAll(namespace, 'busy');
    namespace.flush();
  }
  namespace.close();
  expect(statSync(path).size).toBeLessThan(10_000);
  const again = openNamespace(path);
  onTestFinished(() => again.close());
  expect(await receiveAll(again, 'kept')).toEqual(['a', 'b']);
  expect(await receiveAll(again, 'busy')).toEqual([]);
});

test('numbers go on where they were, also when nothing is left', async () => {
  const path = newJournal();
  const namespace = openNamespace(path);
  namespace.createQueue('q');
  namespace.send('q', [{}, {}, {}]);
  await receiveAll(namespace, 'q');
  namespace.close();
  openNamespace(path).close();
  const again = openNamespace(path);
  onTestFinished(() => again.close());
  again.send('q', [{}]);
  expect(again.mailbox('q').peek(0, 1, undefined)[0]?.sequence).toBe(4);
});

test('a line that was cut is left out', async () => {
  const path = newJournal();
  const namespace = openNamespace(path);
  namespace.createQueue('q');
  namespace.send('q', [{ subject: 'a' }]);
  namespace.close();
  appendFileSync(path, '{"record":"entry-gone","mailbox":"q|ma');
  const again = openNamespace(path);
  onTestFinished(() => again.close());
  expect(await receiveAll(again, 'q')).toEqual(['a']);
});

test('an entity that was deleted and made again has none of its old messages', async () => {
  const path = newJournal();
  const namespace = openNamespace(path);
  namespace.createQueue('q', { MaxDeliveryCount: '3' });
  namespace.send('q', [{ subject: 'old' }]);
  namespace.remove('q');
  namespace.createQueue('q');
  namespace.send('q', [{ subject: 'new' }]);
  namespace.close();
  const again = openNamespace(path);
  onTestFinished(() => again.close());
  expect(await receiveAll(again, 'q')).toEqual(['new']);
  expect(again.find('q').properties['MaxDeliveryCount']).toBe('10');
});
