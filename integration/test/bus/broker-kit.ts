import { afterAll, beforeAll, describe } from 'vitest';

import { type Rabbitmq, type RabbitmqVersion, startRabbitmq } from '../../src/index.ts';
import { archive, notes } from './contracts.ts';
import { type BusUnderTest, type Journal, openBus, type OpenOptions } from './kit.ts';

export const RETRY = { delaysMs: [2_000], jitter: 0 };

/** Attempt 1 of every 40th fails, so that copies wait on the broker's delay queues at any time. */
export const sometimes = ({ n }: { readonly n: number }, { attempt }: { readonly attempt: number }): Promise<void> => {
  if (n % 40 === 0 && attempt === 1) throw new Error('once');
  return new Promise((resolve) => setTimeout(resolve, 1));
};

/** A bus that consumes `notes`; `archive` keeps what was stored. The broker would not forget their queues. */
export async function consumingBus(
  broker: Rabbitmq,
  journal: Journal,
  options: Partial<OpenOptions> = {},
): Promise<BusUnderTest> {
  const bus = openBus(broker.url, { uses: [notes, archive], ...options });
  await bus.consume(notes, { 'note.taken': journal.handler(sometimes) }, { concurrency: 32, retry: RETRY });
  await broker.saveQueues();
  return bus;
}

/** Tests of one describe have a broker of their own, which they may kill, stop and block. */
export function describeBroker(version: RabbitmqVersion, declare: (broker: () => Rabbitmq) => void): void {
  describe(`${version} RabbitMQ`, () => {
    let broker: Rabbitmq;
    beforeAll(async () => {
      broker = await startRabbitmq({ version });
    });
    afterAll(async () => {
      await broker.stop();
    });
    declare(() => broker);
  });
}
