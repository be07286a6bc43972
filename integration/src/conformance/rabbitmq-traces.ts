import { wrapDriver } from '@waybill/conformance';
import type { Driver } from '@waybill/core';
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

/** `driver`, which tells what it is about to make. */
export function telling(driver: Driver, tell: (topology: Topology) => void): Driver {
  const { admin } = driver;
  if (admin === undefined) return driver;
  return wrapDriver(driver, {
    admin: {
      apply: (topology, signal) => {
        tell(topology);
        return admin.apply(topology, signal);
      },
      depth: (queue) => admin.depth(queue),
      purge: (queue, lane) => admin.purge(queue, lane),
    },
  });
}

/** Host and port of a broker's URL. */
export function placeOf(url: string): string {
  return new URL(url).host;
}
