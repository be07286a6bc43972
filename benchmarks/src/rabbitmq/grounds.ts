import { startRabbitmq } from '@waybill/integration';
import { rabbitmq as rabbitmqDriver } from '@waybill/rabbitmq';
import { type ConfirmChannel, connect } from 'amqplib';
import { orderBus } from '../bus.ts';
import type { Sample } from '../envelope.ts';
import { FIRST_SEQUENCE, orderMaker } from '../order.ts';
import type { Grounds, RunningBroker } from '../side.ts';
import { propertiesOf } from './properties.ts';
import { type RabbitmqPlace, waitingName } from './rabbitmq.ts';

const DEADLINE_MS = 60_000;
/** Filled without a confirmation in between. */
const CHUNK = 500;

export async function start(progress: (line: string) => void): Promise<RunningBroker<RabbitmqPlace>> {
  const broker = await startRabbitmq({ progress });
  return { version: broker.version, descriptor: { url: broker.url }, stop: () => broker.stop() };
}

export async function grounds({ url }: RabbitmqPlace): Promise<Grounds> {
  const driver = rabbitmqDriver({ url });
  const connection = await connect(url, { noDelay: true });
  const channel = await connection.createConfirmChannel();
  const create: Grounds['create'] = async (name) => {
    const queues = [{ name, ordered: false, bindings: [] }];
    await driver.admin.apply({ topics: [], queues }, AbortSignal.timeout(DEADLINE_MS));
  };
  const remove: Grounds['remove'] = async (queue) => {
    await channel.deleteQueue(queue);
    await channel.deleteQueue(`${queue}.dead`);
    await channel.deleteQueue(waitingName(queue));
  };
  return {
    create,
    remove,
    sample: async () => {
      const queue = 'bench-sample';
      await create(queue);
      const { bus, send } = orderBus(rabbitmqDriver({ url }), queue);
      await send(orderMaker(1_024)(FIRST_SEQUENCE));
      await bus.close();
      const sample = await takeSample(channel, queue);
      await remove(queue);
      return sample;
    },
    fill: (queue, sample, bodies) => fill(channel, { queue, sample, bodies }),
    close: async () => {
      await connection.close();
      await driver.close(Date.now() + 2_000);
    },
  };
}

async function takeSample(channel: ConfirmChannel, queue: string): Promise<Sample> {
  const message = await channel.get(queue, { noAck: true });
  if (message === false) throw new Error('The sample did not arrive.');
  const { contentType, headers, type } = message.properties as unknown as Sample['properties'];
  const { data: _, ...envelope } = JSON.parse(message.content.toString()) as Record<string, unknown>;
  return { envelope, properties: { contentType, headers, type } };
}

interface Filling {
  readonly queue: string;
  readonly sample: Sample;
  readonly bodies: Parameters<Grounds['fill']>[2];
}

async function fill(channel: ConfirmChannel, { queue, sample, bodies }: Filling): Promise<void> {
  const { contentType, headers, type } = propertiesOf(sample);
  let open = 0;
  for (const { id, body } of bodies) {
    const options = { contentType, headers, persistent: true, messageId: id, type, mandatory: true };
    channel.sendToQueue(queue, Buffer.from(body), options);
    open += 1;
    if (open % CHUNK === 0) await channel.waitForConfirms();
  }
  await channel.waitForConfirms();
}
