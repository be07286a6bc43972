import type { CreateDriver } from '@waybill/conformance';
import { rabbitmq } from '@waybill/rabbitmq';

/** A dead connection is noticed after two of these; scenarios wait for that. */
const HEARTBEAT_SECONDS = 5;

/** Worker processes import this to reach the session whose address is in `options`. */
export const createDriver: CreateDriver = (options, { maxDelayMs, envelope, password }) =>
  rabbitmq({
    url: withPassword((options as { readonly url: string }).url, password),
    heartbeatSeconds: HEARTBEAT_SECONDS,
    ...(maxDelayMs === undefined ? {} : { maxDelayMs }),
    ...(envelope === undefined ? {} : { envelope }),
  });

function withPassword(address: string, password: string | undefined): string {
  if (password === undefined) return address;
  const url = new URL(address);
  url.password = encodeURIComponent(password);
  return url.href;
}
