import type { OutgoingMessage } from '@waybill/core/driver';
import type { ConfirmChannel, Message } from 'amqplib';
import { describe, expect, test } from 'vitest';
import { RabbitmqFlight } from '../src/rabbitmq-flight.ts';

class Channel {
  readonly published: string[] = [];
  readonly confirms: ((error: Error | null) => void)[] = [];
  room = Number.POSITIVE_INFINITY;

  publish(
    _exchange: string,
    _key: string,
    _content: Buffer,
    properties: { readonly messageId: string },
    confirm: (error: Error | null) => void,
  ): boolean {
    this.published.push(properties.messageId);
    this.confirms.push(confirm);
    return this.published.length % this.room !== 0;
  }
}

const batchOf = (count: number): readonly OutgoingMessage[] =>
  Array.from({ length: count }, (_, index) => ({
    target: { queue: 'q', lane: 'work' },
    id: `m${index}`,
    type: 't',
    contentType: 'c',
    body: Buffer.alloc(index),
    headers: {},
  }));
const fly = (channel: Channel, count: number, signal = new AbortController().signal) => {
  const batch = batchOf(count);
  const flight = new RabbitmqFlight(channel as unknown as ConfirmChannel, batch, [...batch.keys()]);
  return {
    flight,
    outcome: flight.run(signal).then((failures) => failures.map(({ index, error }) => `${index} ${error.code}`)),
  };
};
const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });
const returned = (messageId: string): Message =>
  ({ fields: { exchange: '', routingKey: 'q' }, properties: { messageId } }) as unknown as Message;

describe('flight', () => {
  test('waits for drain whenever the buffer is full', async () => {
    const channel = new Channel();
    channel.room = 10;
    const { flight, outcome } = fly(channel, 25);
    for (const written of [10, 20, 25]) {
      await turn();
      expect(channel.published).toHaveLength(written);
      flight.drained();
    }
    for (const confirm of channel.confirms) confirm(null);
    expect(await outcome).toEqual([]);
    expect(flight.clean).toBe(true);
  });

  test('an abort while it waits: written is TIMEOUT, unwritten UNAVAILABLE, late confirmations change nothing', async () => {
    const channel = new Channel();
    channel.room = 3;
    const abort = new AbortController();
    const { flight, outcome } = fly(channel, 5, abort.signal);
    await turn();
    channel.confirms[0]?.(null);
    abort.abort();
    expect(await outcome).toEqual(['1 TIMEOUT', '2 TIMEOUT', '3 UNAVAILABLE', '4 UNAVAILABLE']);
    channel.confirms[1]?.(null);
    expect(flight.clean).toBe(false);
    await turn();
    expect(channel.published).toHaveLength(3);
  });

  test('what was returned is NOT_FOUND, confirmed or not; what was refused UNAVAILABLE', async () => {
    const channel = new Channel();
    const { flight, outcome } = fly(channel, 4);
    await turn();
    flight.returned(returned('m1'));
    flight.returned(returned('m3'));
    flight.returned(returned('other'));
    channel.confirms[0]?.(null);
    channel.confirms[1]?.(null);
    channel.confirms[2]?.(new Error('message nacked'));
    channel.confirms[3]?.(new Error('channel closed'));
    flight.closed(new Error('read ECONNRESET'));
    expect(await outcome).toEqual(['1 NOT_FOUND', '2 UNAVAILABLE', '3 NOT_FOUND']);
  });

  test('what closed the channel counts for those that it certainly means', async () => {
    const channel = new Channel();
    const { flight, outcome } = fly(channel, 4);
    await turn();
    const text = 'PRECONDITION_FAILED - message size 3 is larger than configured max size 2';
    flight.closed(
      Object.assign(new Error(`Channel closed by server: 406 (PRECONDITION-FAILED) with message "${text}"`), {
        code: 406,
      }),
    );
    expect(await outcome).toEqual(['0 TIMEOUT', '1 TIMEOUT', '2 TIMEOUT', '3 TOO_LARGE']);
  });

  test('a signal that is aborted already writes nothing', async () => {
    const channel = new Channel();
    const { outcome } = fly(channel, 2, AbortSignal.abort());
    expect(await outcome).toEqual(['0 UNAVAILABLE', '1 UNAVAILABLE']);
    expect(channel.published).toEqual([]);
  });
});
