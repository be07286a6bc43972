import type { CreateDriver } from '@waybill/conformance';
import { serviceBus } from '@waybill/service-bus';

/** A connection that says nothing is given up after this; scenarios wait for that. */
const TIMEOUT_MS = 5_000;
const LEASE_MS = 10_000;

export interface SessionOptions {
  readonly connectionString: string;
  readonly managementUrl: string;
}

/** Worker processes import this to reach the session whose address is in `options`. */
export const createDriver: CreateDriver = (options, { maxDelayMs, envelope, leaseMs, password }) => {
  const { connectionString, managementUrl } = options as SessionOptions;
  return serviceBus({
    connectionString: withKey(connectionString, password),
    managementUrl,
    timeoutMs: TIMEOUT_MS,
    leaseMs: leaseMs ?? LEASE_MS,
    ...(maxDelayMs === undefined ? {} : { maxDelayMs }),
    ...(envelope === undefined ? {} : { envelope }),
  });
};

function withKey(connectionString: string, key: string | undefined): string {
  return key === undefined
    ? connectionString
    : connectionString.replace(/SharedAccessKey=[^;]*/, () => `SharedAccessKey=${key}`);
}
