export { Alarm } from './alarm.ts';
export { type Clock, systemClock } from './clock.ts';
export type {
  Admin,
  Binding,
  Capabilities,
  ClientLine,
  Delivery,
  Depth,
  Driver,
  Headers,
  Lane,
  Limit,
  OutgoingMessage,
  Page,
  Queue,
  Settlement,
  SubscribeOptions,
  Subscription,
  Target,
  Topic,
  Topology,
} from './driver.ts';
export { BatchError, WaybillError } from './errors.ts';
export type { BatchFailure, WaybillErrorCode } from './errors.ts';
export { Inbox } from './inbox.ts';
export { checkName, deadName, physicalName } from './names.ts';
export { Prefix } from './prefix.ts';
export { byDeadline, pause, untilAborted } from './wait.ts';
