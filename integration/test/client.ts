import { randomUUID } from 'node:crypto';

import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import { onTestFinished } from 'vitest';

export interface Client {
  readonly model: ChannelModel;
  readonly channel: ConfirmChannel;
  /** A durable queue with a name of its own. */
  readonly queue: string;
  /** Resolves with the cause once the connection is gone. */
  readonly closed: Promise<string>;
}

/** A raw connection for one test, with its own queue. */
export async function openClient(url: string, heartbeatSeconds = 0): Promise<Client> {
  const model = await connect(`${url}?heartbeat=${heartbeatSeconds}`);
  const closed = closeCause(model);
  onTestFinished(() => {
    // `close` can wait for ever for a peer that is gone.
    void model.close().catch(() => {});
  });
  const channel = await model.createConfirmChannel();
  channel.on('error', () => {});
  const queue = `harness.${randomUUID()}`;
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  return { model, channel, queue, closed };
}

/** Publishes one persistent message; resolves once the broker has confirmed it. */
export function publish({ channel, queue }: Pick<Client, 'channel' | 'queue'>, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.sendToQueue(queue, Buffer.from(body), { persistent: true }, (error: unknown) =>
      error instanceof Error ? reject(error) : resolve(),
    );
  });
}

function closeCause(model: ChannelModel): Promise<string> {
  model.on('error', () => {});
  return new Promise((resolve) => {
    model.on('close', (error?: Error) => resolve(error?.message ?? 'closed'));
  });
}
