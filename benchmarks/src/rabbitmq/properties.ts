import type { Sample } from '../envelope.ts';

/** What is around a message of Waybill, in amqplib's terms. */
export interface Properties {
  readonly contentType: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly type: string;
}

/** Of a message that was consumed; amqplib types them as any. */
export interface MessageProperties extends Properties {
  readonly messageId: string;
}

export function propertiesOf({ properties }: Sample): Properties {
  return properties as unknown as Properties;
}
