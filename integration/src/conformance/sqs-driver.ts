import type { CreateDriver } from '@waybill/conformance';
import { sqs } from '@waybill/sqs';
import type { SqsCredentials } from '../sqs-server.ts';
import { withFanOut } from './sqs-fan-out.ts';
import { tracesOf } from './sqs-traces.ts';
import { telling } from './telling.ts';
import { noteTraces } from './traces.ts';

/** In a black hole and before a paused server every request waits for this. */
const REQUEST_TIMEOUT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 3_000;
/** No server knows it. */
const UNKNOWN_KEY = 'unknown-to-every-server';

export interface SessionOptions {
  /** Absent: AWS itself. */
  readonly endpoint?: string;
  readonly region: string;
  readonly credentials?: SqsCredentials;
  /** Of a server without SNS: where its stand-in keeps which queue is bound to which topic. */
  readonly bindings?: string;
  /** The process of the run, where the server outlives it: what is made is written down for it. */
  readonly runBy?: number;
}

/** Worker processes import this to reach the session whose addresses are in `options`. */
export const createDriver: CreateDriver = (options, { leaseMs, envelope, password }) => {
  const { endpoint, region, credentials, bindings, runBy } = options as SessionOptions;
  const key = password === undefined ? credentials : { accessKeyId: UNKNOWN_KEY, secretAccessKey: password };
  const driver = sqs({
    region,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(key === undefined ? {} : { credentials: key }),
    ...(bindings === undefined ? {} : { topics: false }),
    ...(leaseMs === undefined ? {} : { leaseMs }),
    ...(envelope === undefined ? {} : { envelope }),
  });
  if (bindings !== undefined) return withFanOut(driver, bindings);
  if (runBy === undefined) return driver;
  return telling(driver, (topology) => noteTraces(tracesOf(region, topology), runBy));
};
