import type { CreateDriver } from '@waybill/conformance';
import { rabbitmq } from '@waybill/rabbitmq';
import { tracesOf } from './rabbitmq-traces.ts';
import { telling } from './telling.ts';
import { noteTraces } from './traces.ts';

/** A dead connection is noticed after two of these; scenarios wait for that. */
const HEARTBEAT_SECONDS = 5;

export interface SessionOptions {
  /** One per node. */
  readonly urls: readonly string[];
  /** The process of the run, where the broker outlives it: what is made is written down for it. */
  readonly runBy?: number;
}

/** Worker processes import this to reach the session whose address is in `options`. */
export const createDriver: CreateDriver = (options, { maxDelayMs, envelope, password }) => {
  const { urls, runBy } = options as SessionOptions;
  const driver = rabbitmq({
    url: urls.map((url) => withPassword(url, password)),
    heartbeatSeconds: HEARTBEAT_SECONDS,
    ...(maxDelayMs === undefined ? {} : { maxDelayMs }),
    ...(envelope === undefined ? {} : { envelope }),
  });
  if (runBy === undefined) return driver;
  return telling(driver, (topology) => noteTraces(tracesOf(urls[0] ?? '', topology), runBy));
};

function withPassword(address: string, password: string | undefined): string {
  if (password === undefined) return address;
  const url = new URL(address);
  url.password = encodeURIComponent(password);
  return url.href;
}
