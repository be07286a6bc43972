import { ServiceBusClient, type ServiceBusMessage, type ServiceBusReceivedMessage } from '@azure/service-bus';
import type { Sample } from '../envelope.ts';

/** Without Nagle, which the client has no option for: a send would take 40 ms. */
export function connect(connectionString: string): ServiceBusClient {
  const client = new ServiceBusClient(connectionString);
  const { connection } = Reflect.get(client, '_connectionContext') as { readonly connection: object };
  const { options } = Reflect.get(connection, '_connection') as { readonly options: { tcp_no_delay?: boolean } };
  options.tcp_no_delay = true;
  return client;
}

/** What Waybill makes of a message of the sample. */
export function messageOf({ properties }: Sample, { id, body }: { id: string; body: string }): ServiceBusMessage {
  const { contentType, subject, applicationProperties } = properties as unknown as ServiceBusMessage;
  const message: ServiceBusMessage = {
    body: Buffer.from(body),
    messageId: id,
    sessionId: id,
    ...(contentType === undefined ? {} : { contentType }),
    ...(subject === undefined ? {} : { subject }),
    ...(applicationProperties === undefined ? {} : { applicationProperties }),
  };
  return message;
}

/** The same message for its next attempt, at this time. */
export function copyOf(
  { body, messageId, sessionId, contentType, subject, applicationProperties }: ServiceBusReceivedMessage,
  at: number,
): ServiceBusMessage {
  const message: ServiceBusMessage = {
    body: body as Buffer,
    applicationProperties: { ...applicationProperties, attempt: 2 },
    scheduledEnqueueTimeUtc: new Date(at),
    ...(messageId === undefined ? {} : { messageId }),
    ...(sessionId === undefined ? {} : { sessionId }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(subject === undefined ? {} : { subject }),
  };
  return message;
}
