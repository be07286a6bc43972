import type { CreateDriver } from '@waybill/conformance';
import { redisStreams } from './redis-driver.ts';

/** Worker processes import this to reach the session whose address is in `options`. */
export const createDriver: CreateDriver = (options, { leaseMs, maxDelayMs, password }) => {
  const url = new URL((options as { readonly url: string }).url);
  if (password !== undefined) url.password = encodeURIComponent(password);
  return redisStreams({
    url: url.href,
    ...(leaseMs === undefined ? {} : { leaseMs }),
    ...(maxDelayMs === undefined ? {} : { maxDelayMs }),
  });
};
