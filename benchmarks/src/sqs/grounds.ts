import {
  DeleteQueueCommand,
  ListQueuesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { startElasticmq, startProxy, startToxiproxy } from '@waybill/integration';
import { sqs as sqsDriver } from '@waybill/sqs';
import { orderBus } from '../bus.ts';
import { encode, type Sample } from '../envelope.ts';
import { FIRST_SEQUENCE, orderMaker } from '../order.ts';
import type { Grounds, RunningBroker } from '../side.ts';
import { attributesOf, BATCH, connect, urlOf } from './client.ts';
import type { SqsPlace } from './sqs.ts';

const DEADLINE_MS = 60_000;
const ROUND_TRIP_MS = 10;
const FILLS_OPEN = 8;
const WARM_UP = 20_000;

/** In memory: on disk the server is so slow that all sides are alike. */
export async function start(progress: (line: string) => void): Promise<RunningBroker<SqsPlace>> {
  const server = await startElasticmq({ storage: 'memory', progress });
  try {
    const toxiproxy = await startToxiproxy(progress);
    const stop = async (): Promise<void> => void (await Promise.allSettled([server.stop(), toxiproxy.stop()]));
    try {
      const proxy = await startProxy(toxiproxy.descriptor, server.endpoint);
      await proxy.latency(ROUND_TRIP_MS / 2);
      const {
        endpoint: direct,
        region,
        credentials = { accessKeyId: 'any', secretAccessKey: 'any' },
        version,
      } = server;
      return {
        version: `ElasticMQ ${version}`,
        descriptor: { endpoint: proxy.url, direct, region, credentials },
        stop,
      };
    } catch (error) {
      await toxiproxy.stop();
      throw error;
    }
  } catch (error) {
    await server.stop();
    throw error;
  }
}

export async function grounds(place: SqsPlace): Promise<Grounds> {
  const client = await connect(place, place.direct);
  const { direct: endpoint, region, credentials } = place;
  const driver = sqsDriver({ endpoint, region, credentials, topics: false });
  const create: Grounds['create'] = async (name) => {
    const queues = [{ name, ordered: false, bindings: [] }];
    await driver.admin.apply({ topics: [], queues }, AbortSignal.timeout(DEADLINE_MS));
  };
  return {
    create,
    remove: (queue) => remove(client, queue),
    sample: async () => {
      const queue = 'bench-sample';
      await create(queue);
      const { bus, send } = orderBus(sqsDriver({ endpoint, region, credentials, topics: false }), queue);
      await send(orderMaker(1_024)(FIRST_SEQUENCE));
      await bus.close();
      const sample = await takeSample(client, queue);
      await fill(client, { queue, sample, bodies: warmUp(sample) });
      await remove(client, queue);
      return sample;
    },
    fill: (queue, sample, bodies) => fill(client, { queue, sample, bodies }),
    close: async () => {
      client.destroy();
      await driver.close(Date.now() + 2_000);
    },
  };
}

/** The server compiles what it runs often: the first to be measured would pay for it. */
function* warmUp(sample: Sample): Iterable<{ readonly id: string; readonly body: string }> {
  const order = orderMaker(1_024)(FIRST_SEQUENCE);
  for (let index = 0; index < WARM_UP; index += 1) yield encode(sample, order);
}

async function takeSample(client: SQSClient, queue: string): Promise<Sample> {
  const QueueUrl = await urlOf(client, queue);
  const receive = new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 5, MessageAttributeNames: ['All'] });
  const [message] = (await client.send(receive)).Messages ?? [];
  if (message?.Body === undefined) throw new Error('The sample did not arrive.');
  const { data: _, ...envelope } = JSON.parse(message.Body) as Record<string, unknown>;
  return { envelope, properties: message.MessageAttributes ?? {} };
}

/** With its dead lane and what else Waybill made for it. */
async function remove(client: SQSClient, queue: string): Promise<void> {
  const { QueueUrls = [] } = await client.send(new ListQueuesCommand({ QueueNamePrefix: queue }));
  for (const QueueUrl of QueueUrls) {
    const name = QueueUrl.split('/').at(-1) ?? '';
    if (name === queue || name.startsWith(`${queue}_`)) await client.send(new DeleteQueueCommand({ QueueUrl }));
  }
}

interface Filling {
  readonly queue: string;
  readonly sample: Sample;
  readonly bodies: Parameters<Grounds['fill']>[2];
}

async function fill(client: SQSClient, { queue, sample, bodies }: Filling): Promise<void> {
  const QueueUrl = await urlOf(client, queue);
  const MessageAttributes = attributesOf(sample);
  const all = bodies[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (;;) {
      const Entries = [];
      for (let next = all.next(); next.done !== true; next = all.next()) {
        Entries.push({ Id: String(Entries.length), MessageBody: next.value.body, MessageAttributes });
        if (Entries.length === BATCH) break;
      }
      if (Entries.length === 0) return;
      const { Failed = [] } = await client.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
      if (Failed.length > 0) throw new Error(`${Failed.length} messages could not be filled in.`);
    }
  };
  await Promise.all(Array.from({ length: FILLS_OPEN }, worker));
}
