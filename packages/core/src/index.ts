export { type Bus, type BusHealth, type CloseOptions, type Consumer, createBus, type SignalOption } from './bus.ts';
export type {
  CommandContract,
  Contract,
  EventContract,
  InputOf,
  KeyedContract,
  OutputOf,
  VersionStep,
} from './contract/contract.ts';
export { type CommandDefinition, defineCommand, defineEvent, type EventDefinition } from './contract/define.ts';
export { type CommandOf, defineQueue, type QueueContract } from './contract/define-queue.ts';
export { type Awaitable, upcast } from './contract/validate.ts';
export {
  BatchError,
  type BatchFailure,
  type ClientLine,
  type Clock,
  type Delivery,
  type Depth,
  type Driver,
  type Lane,
  type OutgoingMessage,
  type Topology,
  WaybillError,
  type WaybillErrorCode,
} from './driver/index.ts';
export { decode } from './envelope/decode.ts';
export type { Message, Metadata } from './envelope/envelope.ts';
export type { DeadReason, FailureText } from './failure/bookkeeping.ts';
export { Reject, RetryLater } from './failure/intent.ts';
export type { RetrySchedule } from './failure/retry-schedule.ts';
export type { Reconnect } from './runtime/backoff.ts';
export type { BusOptions } from './runtime/bus-options.ts';
export type { ConsumeOptions } from './runtime/consume-options.ts';
export type { ConsumerHealth } from './runtime/consumer.ts';
export type { DeadLetter } from './runtime/dead-letters.ts';
export type { HandlerContext, Handlers } from './runtime/handler-context.ts';
export { type Codec, type HandleScope, type Middleware, type Slot, slot } from './runtime/middleware.ts';
export type { ConsumerStatus, Observe, ObserveEvent, Outcome } from './runtime/observe.ts';
export type { PublishOptions, SendOptions } from './runtime/prepare.ts';
export type { RedriveOptions, RedriveResult } from './runtime/redrive.ts';
export type { Used } from './runtime/registry.ts';
