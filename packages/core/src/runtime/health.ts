import type { BusHealth } from '../bus.ts';
import type { Publisher } from './publisher.ts';

/** The worst of its parts. */
export function busHealth(driver: string, consumers: BusHealth['consumers'], publisher: Publisher): BusHealth {
  const { failing: error, pending, waiting } = publisher;
  const isDown = consumers.some(({ status }) => status === 'down' || status === 'starting');
  const isDegraded = error !== undefined || waiting || consumers.some(({ status }) => status === 'degraded');
  const moving = isDegraded ? 'degraded' : 'up';
  return {
    status: error?.retryable === true || isDown ? 'down' : moving,
    driver,
    consumers,
    publisher: { pending, ...(error === undefined ? {} : { error }) },
  };
}
