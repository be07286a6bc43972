import type { CreateDriver } from '@waybill/conformance';
import { kafka } from '@waybill/kafka';
import { throughProxies } from '../kafka-proxies.ts';
import { kafkaPassword, kafkaUser } from '../kafka-settings.ts';
import { tracesOf } from './kafka-traces.ts';
import { telling } from './telling.ts';
import { noteTraces } from './traces.ts';

/** In a black hole and before a paused node every request waits for this. */
const REQUEST_TIMEOUT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 3_000;

export interface SessionOptions {
  readonly brokers: readonly string[];
  readonly partitions: number;
  readonly sessionTimeoutMs: number;
  /** From the address of each node to that of its proxy: of a cluster of the harness, which demands its password. */
  readonly addresses?: Readonly<Record<string, string>>;
  /** The process of the run, where the cluster outlives it: what is made is written down for it. */
  readonly runBy?: number;
}

/** Worker processes import this to reach the session whose addresses are in `options`. */
export const createDriver: CreateDriver = (options, { maxDelayMs, envelope, password = kafkaPassword }) => {
  const { brokers, partitions, sessionTimeoutMs, addresses, runBy } = options as SessionOptions;
  const driver = kafka({
    brokers,
    partitions,
    sessionTimeoutMs,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    ...(addresses === undefined
      ? {}
      : { socketFactory: throughProxies(addresses), sasl: { mechanism: 'plain', username: kafkaUser, password } }),
    ...(maxDelayMs === undefined ? {} : { maxDelayMs }),
    ...(envelope === undefined ? {} : { envelope }),
  });
  if (runBy === undefined) return driver;
  return telling(driver, (topology) => noteTraces(tracesOf(brokers, topology), runBy));
};
