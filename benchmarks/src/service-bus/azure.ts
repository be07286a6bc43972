import { decode, encode } from '../envelope.ts';
import type { Consumer, Handle, Publisher, Setting, Side } from '../side.ts';
import type { ServiceBusPlace } from './service-bus.ts';

/** The client by hand, with all that is known to make it fast: no Nagle, batches, a stream, nothing converted twice. */
export const side: Side<ServiceBusPlace> = {
  name: '@azure/service-bus',
  kind: 'raw',
  packages: ['@azure/service-bus'],
  notes: { storm: 'by hand: a scheduled copy, then the completion of its source' },
  publisher,
  consumer,
};

async function publisher({ descriptor, queue, sample }: Setting<ServiceBusPlace>): Promise<Publisher> {
  const [{ connect, messageOf }, { Batches }] = await Promise.all([import('./client.ts'), import('./batches.ts')]);
  const client = connect(descriptor.connectionString);
  const batches = new Batches(client.createSender(queue));
  return {
    publish: (order) => batches.send(messageOf(sample, encode(sample, order))),
    close: () => client.close(),
  };
}

async function consumer(
  { descriptor, queue, concurrency, retryDelayMs }: Setting<ServiceBusPlace>,
  handle: Handle,
): Promise<Consumer> {
  const [{ connect, copyOf }, { Batches }] = await Promise.all([import('./client.ts'), import('./batches.ts')]);
  const client = connect(descriptor.connectionString);
  const receiver = client.createReceiver(queue, {
    skipParsingBodyAsJson: true,
    skipConvertingDate: true,
    // No handler takes as long as a lock; each would have a timer.
    maxAutoLockRenewalDurationInMs: 0,
  });
  const copies = new Batches(client.createSender(queue));
  const errors: Error[] = [];
  const subscription = receiver.subscribe(
    {
      processMessage: async (message) => {
        try {
          await handle(decode((message.body as Buffer).toString()));
        } catch {
          await copies.send(copyOf(message, Date.now() + retryDelayMs));
        }
        await receiver.completeMessage(message);
      },
      processError: async ({ error }) => void errors.push(error),
    },
    { autoCompleteMessages: false, maxConcurrentCalls: concurrency },
  );
  return {
    close: async () => {
      await subscription.close();
      await receiver.close();
      await client.close();
      if (errors[0] !== undefined) throw errors[0];
    },
  };
}
