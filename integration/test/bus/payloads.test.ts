import { randomBytes } from 'node:crypto';

import { expect } from 'vitest';

import { eventually } from '../../src/index.ts';
import { Bytes, Noted, payloads } from './contracts.ts';
import { onBothVersions, openBus, type OpenOptions } from './kit.ts';

onBothVersions(({ test, broker }) => {
  for (const envelope of ['structured', 'binary'] as const) {
    test(`1 MiB, Unicode, binary and empty payloads arrive byte for byte, ${envelope}`, async () => {
      await carriesPayloads({ uses: [payloads], rabbitmq: { envelope } }, broker().url);
    });
  }
});

const odd = 'é ß 漢字 🏳️‍🌈 \u0000 \u2028 "quoted" \\ \ud83d\ude00 end';
const texts = ['', odd, `${odd}\n`.repeat(25_000).slice(0, 1024 * 1024), '{"json":"in text"}'];
const blobs = [
  new Uint8Array(0),
  new Uint8Array(randomBytes(1024 * 1024)),
  Uint8Array.from({ length: 256 }, (_, n) => n),
];

/** Through publish, a failed attempt with its copy, a dead letter, a redrive and the handler. */
async function carriesPayloads(options: OpenOptions, url: string): Promise<void> {
  const bus = openBus(url, options);
  const got = new Map<string, unknown>();
  const listed = new Map<string, unknown>();
  let fixed = false;
  const take = (id: string, data: unknown): void => {
    if (!fixed) throw new Error('not yet');
    got.set(id, data);
  };
  await bus.consume(
    payloads,
    {
      'note.taken': ({ text }, { metadata }) => take(metadata.id, text),
      'bytes.seen': (bytes, { metadata }) => take(metadata.id, bytes),
    },
    { retry: { delaysMs: [20], jitter: 0 } },
  );
  const wanted = new Map<string, unknown>([
    ...texts.map((text, n) => [`text${n}`, text] as const),
    ...blobs.map((blob, n) => [`blob${n}`, blob] as const),
  ]);
  await Promise.all([
    ...texts.map((text, n) => bus.publish(Noted, { n, text }, { id: `text${n}` })),
    ...blobs.map((blob, n) => bus.publish(Bytes, blob, { id: `blob${n}` })),
  ]);
  await eventually(async () => expect((await bus.depth(payloads)).deadLettered).toBe(wanted.size));
  for await (const { id, message } of bus.deadLetters(payloads)) {
    const data = message?.data as Uint8Array | { text: string } | undefined;
    listed.set(id, data instanceof Uint8Array ? data : data?.text);
  }
  expectSame(listed, wanted);
  fixed = true;
  await bus.redrive(payloads);
  await eventually(() => expect(got.size).toBe(wanted.size));
  expectSame(got, wanted);
}

function expectSame(got: ReadonlyMap<string, unknown>, wanted: ReadonlyMap<string, unknown>): void {
  expect([...got.keys()].toSorted()).toEqual([...wanted.keys()].toSorted());
  for (const [id, value] of wanted) {
    const other = got.get(id);
    // Not `toEqual`: its report of a megabyte that differs takes minutes.
    const same =
      value instanceof Uint8Array ? other instanceof Uint8Array && Buffer.compare(value, other) === 0 : other === value;
    expect(`${id} ${same}`).toBe(`${id} true`);
  }
}
