import { ServiceBusAdministrationClient, type ServiceBusClient } from '@azure/service-bus';
import { startServiceBusStandin } from '@waybill/integration';
import { serviceBus } from '@waybill/service-bus';
import { orderBus } from '../bus.ts';
import type { Sample } from '../envelope.ts';
import { FIRST_SEQUENCE, orderMaker } from '../order.ts';
import type { Grounds, RunningBroker } from '../side.ts';
import { connect, messageOf } from './client.ts';
import type { ServiceBusPlace } from './service-bus.ts';

const DEADLINE_MS = 60_000;
/** Filled with one transfer. */
const CHUNK = 100;
/** Transfers on their way together. */
const OPEN = 4;

/** A namespace, where the environment names one, and where its management is not at the namespace itself. */
const NAMESPACE = 'WAYBILL_SERVICE_BUS_CONNECTION_STRING';
const MANAGEMENT = 'WAYBILL_SERVICE_BUS_MANAGEMENT_URL';

export async function start(progress: (line: string) => void): Promise<RunningBroker<ServiceBusPlace>> {
  const connectionString = process.env[NAMESPACE] ?? '';
  if (connectionString !== '') {
    progress('broker: the namespace of the connection string');
    const managementUrl = process.env[MANAGEMENT] ?? '';
    const descriptor = { connectionString, ...(managementUrl === '' ? {} : { managementUrl }) };
    return { version: 'namespace', descriptor, stop: async () => undefined };
  }
  // It keeps nothing: what a journal costs says nothing about the service.
  const standin = await startServiceBusStandin({ progress, durable: false });
  const descriptor = { connectionString: standin.connectionString, managementUrl: standin.managementUrl };
  return { version: 'stand-in', descriptor, stop: () => standin.stop() };
}

export async function grounds(place: ServiceBusPlace): Promise<Grounds> {
  const driver = serviceBus(place);
  const client = connect(place.connectionString);
  const administration = administrationFor(place);
  const create: Grounds['create'] = async (name) => {
    const queues = [{ name, ordered: false, bindings: [] }];
    await driver.admin?.apply({ topics: [], queues }, AbortSignal.timeout(DEADLINE_MS));
  };
  const remove: Grounds['remove'] = async (queue) => void (await administration.deleteQueue(queue));
  return {
    create,
    remove,
    sample: async () => {
      const queue = 'bench-sample';
      await create(queue);
      const orders = orderBus(serviceBus(place), queue);
      await orders.send(orderMaker(1_024)(FIRST_SEQUENCE));
      await orders.bus.close();
      const sample = await takeSample(client, queue);
      await remove(queue);
      return sample;
    },
    fill: (queue, sample, bodies) => fill(client, { queue, sample, bodies }),
    close: async () => {
      await client.close();
      await driver.close(Date.now() + 2_000);
    },
  };
}

/** The client has no other way to talk http. */
function administrationFor({ connectionString, managementUrl }: ServiceBusPlace): ServiceBusAdministrationClient {
  const administration = new ServiceBusAdministrationClient(connectionString);
  if (managementUrl === undefined) return administration;
  const send = administration.sendRequest.bind(administration);
  administration.sendRequest = (request) => {
    request.url = request.url.replace(/^https:\/\/[^/]+/, managementUrl);
    request.allowInsecureConnection = true;
    return send(request);
  };
  return administration;
}

async function takeSample(client: ServiceBusClient, queue: string): Promise<Sample> {
  const receiver = client.createReceiver(queue, { skipParsingBodyAsJson: true, receiveMode: 'receiveAndDelete' });
  const [message] = await receiver.receiveMessages(1, { maxWaitTimeInMs: DEADLINE_MS });
  await receiver.close();
  if (message === undefined) throw new Error('The sample did not arrive.');
  const { contentType, subject, applicationProperties } = message;
  const { data: _, ...envelope } = JSON.parse((message.body as Buffer).toString()) as Record<string, unknown>;
  return { envelope, properties: { contentType, subject, applicationProperties } };
}

interface Filling {
  readonly queue: string;
  readonly sample: Sample;
  readonly bodies: Parameters<Grounds['fill']>[2];
}

async function fill(client: ServiceBusClient, { queue, sample, bodies }: Filling): Promise<void> {
  const sender = client.createSender(queue);
  const rest = bodies[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (;;) {
      const batch = [];
      for (let next = rest.next(); next.done !== true; next = rest.next()) {
        batch.push(messageOf(sample, next.value));
        if (batch.length === CHUNK) break;
      }
      if (batch.length === 0) return;
      await sender.sendMessages(batch);
    }
  };
  await Promise.all(Array.from({ length: OPEN }, worker));
  await sender.close();
}
