import { startKafka } from '@waybill/integration';
import { kafka as kafkaDriver } from '@waybill/kafka';
import type { Admin, Producer } from 'kafkajs';
import type { Sample } from '../envelope.ts';
import { FIRST_SEQUENCE, orderMaker } from '../order.ts';
import type { Grounds, RunningBroker } from '../side.ts';
import { eventBus, topology } from './bus.ts';
import { ALL_IN_SYNC, connect, connectProducer, headersOf } from './client.ts';
import type { KafkaPlace } from './kafka.ts';

const DEADLINE_MS = 60_000;
const CHUNK = 500;

export async function start(progress: (line: string) => void): Promise<RunningBroker<KafkaPlace>> {
  const broker = await startKafka({ progress });
  return { version: broker.version, descriptor: { brokers: broker.brokers }, stop: () => broker.stop() };
}

export async function grounds(place: KafkaPlace): Promise<Grounds> {
  const driver = kafkaDriver({ brokers: place.brokers });
  const kafka = await connect(place);
  const admin = kafka.admin();
  await admin.connect();
  return {
    create: async (queue) => void (await driver.admin.apply(topology(queue), AbortSignal.timeout(DEADLINE_MS))),
    remove: (queue) => remove(admin, queue),
    sample: () => sample(place),
    // A producer that knew a topic which was removed meanwhile fails for all others.
    fill: async (queue, from, bodies) => {
      const producer = await connectProducer(kafka);
      await fill(producer, { queue, sample: from, bodies });
      await producer.disconnect();
    },
    close: async () => {
      await admin.disconnect();
      await driver.close(Date.now() + 2_000);
    },
  };
}

/** Nothing is sent: the envelope and its one header are all there is. */
async function sample({ brokers }: KafkaPlace): Promise<Sample> {
  const { bus, sample: prepare } = eventBus(kafkaDriver({ brokers }), 'bench-sample');
  const { body, contentType } = await prepare(orderMaker(1_024)(FIRST_SEQUENCE));
  await bus.close();
  const { data: _, ...envelope } = JSON.parse(Buffer.from(body).toString()) as Record<string, unknown>;
  return { envelope, properties: { 'content-type': contentType } };
}

/** Its topics and groups, whichever side made them. */
async function remove(admin: Admin, queue: string): Promise<void> {
  const isOurs = (name: string): boolean =>
    name === queue || name.startsWith(`${queue}.`) || name === `${queue}-server`;
  const topics = (await admin.listTopics()).filter(isOurs);
  if (topics.length > 0) await admin.deleteTopics({ topics });
  const { groups } = await admin.listGroups();
  const ids = groups.map(({ groupId }) => groupId).filter(isOurs);
  // A group whose last member has just gone may refuse; the broker forgets it by itself.
  if (ids.length > 0) await admin.deleteGroups(ids).catch(() => undefined);
}

interface Filling {
  readonly queue: string;
  readonly sample: Sample;
  readonly bodies: Parameters<Grounds['fill']>[2];
}

async function fill(producer: Producer, { queue, sample: from, bodies }: Filling): Promise<void> {
  const headers = headersOf(from);
  const send = async (messages: { value: string; headers: Record<string, string> }[]): Promise<void> => {
    if (messages.length > 0) await producer.send({ topic: queue, acks: ALL_IN_SYNC, messages });
  };
  let chunk: { value: string; headers: Record<string, string> }[] = [];
  for (const { body } of bodies) {
    chunk.push({ value: body, headers });
    if (chunk.length < CHUNK) continue;
    await send(chunk);
    chunk = [];
  }
  await send(chunk);
}
