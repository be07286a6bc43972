import type { OutgoingMessage } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';

import {
  type TestServer,
  failuresOf,
  makeQueue,
  message,
  openDriver,
  openSubscription,
  elasticmqServer,
  localemuServer,
  receiveAll,
  soon,
  workOf,
} from './kit.ts';

const localemu = localemuServer();
const elasticmq = elasticmqServer();

/** Ways to a queue: with the limits of SQS, or with those of SNS. */
const ways: readonly { readonly way: string; readonly server: TestServer; readonly isTopic: boolean }[] = [
  { way: 'SQS on LocalEmu', server: localemu, isTopic: false },
  { way: 'SNS on LocalEmu', server: localemu, isTopic: true },
  { way: 'SQS on ElasticMQ', server: elasticmq, isTopic: false },
];

type Content = Pick<OutgoingMessage, 'body'> & Partial<Pick<OutgoingMessage, 'headers' | 'contentType'>>;

/** Sends all that way; resolves with what came, in the order in which it was sent. */
async function through({ server, isTopic }: (typeof ways)[0], contents: readonly Content[]) {
  const driver = openDriver(server);
  const { queue, topic } = await makeQueue(driver, { types: isTopic ? ['order.placed'] : [] });
  const target = isTopic ? { topic: topic.name } : workOf(queue);
  const batch = contents.map(({ headers = {}, ...content }, index) =>
    message(`m${index}`, target, { ...content, headers: { ...headers, 'x-index': String(index) } }),
  );
  await driver.send(batch, soon());
  const received = await receiveAll(await openSubscription(driver, queue), contents.length);
  return received.toSorted((a, b) => Number(a.headers['x-index']) - Number(b.headers['x-index']));
}

const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const texts = [
  '{"a":"ü€😀"}',
  ' \t\r\n ',
  '\r',
  '\uFEFF{}',
  '-',
  'AAAA',
  '<a>&amp;</a>',
  '%41+%20',
  '"\\u0000"',
  '\u0085\u2028',
];
const illegal = ['\u0000', 'a\u001Bb', '\uFFFE', '\uFFFF', '\u000B'];

describe.each(ways)('through $way', (way) => {
  test('bodies come back byte for byte, also those that SQS does not take', async () => {
    const bodies = [
      ...[...texts, ...illegal].map((text) => Buffer.from(text)),
      every,
      Buffer.from([0xed, 0xa0, 0x80]),
      Buffer.alloc(0),
    ];
    const received = await through(
      way,
      bodies.map((body) => ({ body })),
    );
    expect(received.map(({ body }) => Buffer.from(body).toString('hex'))).toEqual(
      bodies.map((body) => body.toString('hex')),
    );
  });

  test('headers come back, also more than there are attributes and what SQS does not take', async () => {
    const many = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`ce-h${index}`, `v=${index}&%ü`]));
    const odd = Object.fromEntries([...texts, ...illegal, '', '\uD800'].map((text, index) => [`x-odd-${index}`, text]));
    const names = { 'aws.a': '1', key: '2', type: '3', encoding: 'base64', due: '4', headers: 'a=b', 'a..b': '5' };
    const contents = [many, odd, names, {}].map((headers) => ({ body: Buffer.from('x'), headers }));
    const received = await through(way, contents);
    for (const [index, { headers }] of received.entries()) {
      expect(headers).toEqual({ ...contents[index]?.headers, 'x-index': String(index) });
    }
  });

  test('content types come back', async () => {
    const contentTypes = ['application/cloudevents+json; charset=utf-8', 'x', ''];
    const received = await through(
      way,
      contentTypes.map((contentType) => ({ body: every, contentType })),
    );
    expect(received.map(({ contentType }) => contentType)).toEqual(contentTypes);
  });

  test('a message of the largest size arrives, and one byte more is refused before it is sent', async () => {
    const driver = openDriver(way.server);
    const { queue, topic } = await makeQueue(driver, { types: way.isTopic ? ['order.placed'] : [] });
    const target = way.isTopic ? { topic: topic.name } : workOf(queue);
    const attributes = ['typeStringorder.placed', 'content-typeStringtext/plain', 'x-tenantString...'].join('');
    const room = 262_144 - attributes.length;
    const sized = (bytes: number): OutgoingMessage =>
      message('m1', target, { body: Buffer.alloc(bytes, 'x'), headers: { 'x-tenant': 'ü.' } });
    expect(await failuresOf(driver.send([sized(room + 1), sized(room + 1)], soon()))).toEqual({
      0: 'TOO_LARGE',
      1: 'TOO_LARGE',
    });
    await driver.send([sized(room), sized(room)], soon());
    const received = await receiveAll(await openSubscription(driver, queue), 2);
    expect(received.map(({ body }) => body.byteLength)).toEqual([room, room]);
  });
});

describe.each([localemu, elasticmq])('queues alone on $name', (server) => {
  test('take messages of a MiB by option', async () => {
    const driver = openDriver(server, { topics: false, maxMessageBytes: 1_048_576 });
    const { queue } = await makeQueue(driver);
    const body = Buffer.alloc(driver.capabilities.maxMessageBytes, 'x');
    await driver.send([message('a', workOf(queue), { body }), message('b', workOf(queue), { body })], soon());
    const received = await receiveAll(await openSubscription(driver, queue), 2);
    expect(received.map(({ body: { byteLength } }) => byteLength)).toEqual([body.length, body.length]);
    const tooLarge = message('c', workOf(queue), { body: Buffer.alloc(1_048_577) });
    expect(await failuresOf(driver.send([tooLarge], soon()))).toEqual({ 0: 'TOO_LARGE' });
  });
});
