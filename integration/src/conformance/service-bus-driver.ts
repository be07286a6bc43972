import type { CreateDriver } from '@waybill/conformance';
import { serviceBus } from '@waybill/service-bus';
import { tracesOf } from './service-bus-traces.ts';
import { telling } from './telling.ts';
import { noteTraces } from './traces.ts';

/** A connection that says nothing is given up after this; scenarios wait for that. */
const TIMEOUT_MS = 5_000;
const LEASE_MS = 10_000;

export interface SessionOptions {
  readonly connectionString: string;
  /** Absent: at the namespace itself. */
  readonly managementUrl?: string;
  /** Of a server that takes fewer than the driver asks for. */
  readonly maxDeliveries?: number;
  /** The process of the run, where the server outlives it: what is made is written down for it. */
  readonly runBy?: number;
}

/** Worker processes import this to reach the session whose address is in `options`. */
export const createDriver: CreateDriver = (options, { maxDelayMs, envelope, leaseMs, password }) => {
  const { connectionString, managementUrl, maxDeliveries, runBy } = options as SessionOptions;
  const driver = serviceBus({
    connectionString: withKey(connectionString, password),
    timeoutMs: TIMEOUT_MS,
    leaseMs: leaseMs ?? LEASE_MS,
    ...(managementUrl === undefined ? {} : { managementUrl }),
    ...(maxDeliveries === undefined ? {} : { maxDeliveries }),
    ...(maxDelayMs === undefined ? {} : { maxDelayMs }),
    ...(envelope === undefined ? {} : { envelope }),
  });
  if (runBy === undefined) return driver;
  return telling(driver, (topology) => noteTraces(tracesOf(connectionString, topology), runBy));
};

function withKey(connectionString: string, key: string | undefined): string {
  return key === undefined
    ? connectionString
    : connectionString.replace(/SharedAccessKey=[^;]*/, () => `SharedAccessKey=${key}`);
}
