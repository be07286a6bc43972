import type { Sample } from '../envelope.ts';

/** What is around a message of Waybill, in amqplib's terms. */
export interface Properties {
  readonly contentType: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly type: string;
}

export function propertiesOf({ properties }: Sample): Properties {
  return properties as unknown as Properties;
}
