import { deadName, type Topology } from '@waybill/core/driver';
import type { Trace } from './traces.ts';

/** What a topology is made of on RabbitMQ, the queue included where the driver counts the trials of an ordered one. */
export function tracesOf(url: string, { topics, queues }: Topology): readonly Trace[] {
  const broker = placeOf(url);
  return [
    ...queues.flatMap(({ name }) =>
      [name, deadName(name), `waybill.trial.${name}`].map((each) => ({ broker, kind: 'queue', name: each })),
    ),
    ...topics.map(({ name }) => ({ broker, kind: 'exchange', name })),
  ];
}

/** Host and port of a broker's URL. */
export function placeOf(url: string): string {
  return new URL(url).host;
}
