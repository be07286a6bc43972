import type { WaybillError } from './errors.ts';

/** Lower-case names, string values; the adapter maps them to the broker's own place and back. */
export type Headers = Readonly<Record<string, string>>;

/** `work`: what handlers get, retries and delayed copies included. `dead`: the queue's dead letters. */
export type Lane = 'work' | 'dead';

/** Where a message goes: every queue bound to a topic, or one lane of one queue. */
export type Target = { readonly topic: string } | { readonly queue: string; readonly lane: Lane };

export interface OutgoingMessage {
  readonly target: Target;
  /** Names this stored copy (`id`, `id#a2`, `id#r1`): brokers deduplicate and return by it. At most 120 characters. */
  readonly id: string;
  /** For native filters and routing keys. */
  readonly type: string;
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly headers: Headers;
  /** Ordering key. Absent: the adapter uses `id` wherever the broker insists on one. */
  readonly key?: string;
  /** Epoch ms, at most `maxDelayMs` ahead. Queue targets only. */
  readonly notBefore?: number;
}

export interface Delivery {
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly headers: Headers;
  readonly key?: string;
  /** Hand-outs of this stored copy so far, this one included; counts some that no handler saw. */
  readonly deliveries: number;
  /** Local epoch ms until which it is ours; Infinity: until `onLost` says otherwise. */
  readonly leaseUntil: number;
  /** Dead lane: the broker's own reason, when the broker dead-lettered it. */
  readonly brokerReason?: string;
  /** Unique in its queue; names a message that has no envelope: `orders/3@1042`. */
  readonly position: string;
  /** The client library's own message: an escape hatch that ties the caller to one broker. */
  readonly raw: unknown;
}

/** How a delivery ends. `release`: back to the queue now. `reject`: to the dead lane in one broker step. */
export type Settlement =
  | { readonly delivery: Delivery; readonly action: 'accept' | 'release' }
  | { readonly delivery: Delivery; readonly action: 'reject'; readonly reason: string; readonly headers: Headers };

export interface Topic {
  readonly name: string;
  /** Every message of it has an ordering key. */
  readonly keyed: boolean;
}

export interface Binding {
  readonly topic: Topic;
  readonly types: readonly string[];
}

export interface Queue {
  readonly name: string;
  readonly ordered: boolean;
  readonly bindings: readonly Binding[];
}

export interface Topology {
  readonly topics: readonly Topic[];
  readonly queues: readonly Queue[];
}

/** What a queue holds. What a broker cannot tell is absent, never 0. */
export interface Depth {
  /** Could be handed out now. A broker that cannot tell apart what is held counts it here, and `inFlight` is absent. */
  readonly ready: number;
  readonly deadLettered: number;
  readonly inFlight?: number;
  readonly delayed?: number;
}

/** What a driver can do. The core never asks for more, and refuses at start what nobody can meet. */
export interface Capabilities {
  /** 'one-process': one process of an ordered consumer works at a time. */
  readonly ordering: 'none' | 'one-process' | 'key';
  /** A queue gets only the bound types; else the core drops the others, as {@link Driver.boundTypes} tells. */
  readonly filtersTypes: boolean;
  /** False: queues only, so events are refused. @default true */
  readonly topics?: boolean;
  /** 'bare' loses `headers`: the core then copies to the dead lane and rejects only what cannot be copied. */
  readonly reject: 'none' | 'bare' | 'annotated';
  /** 'structured' (the default everywhere): the body is the whole CloudEvent as JSON. */
  readonly envelope: 'binary' | 'structured';
  readonly maxDelayMs: number;
  /** Latest arrival after `notBefore` on an idle queue. */
  readonly delayErrorMs: number;
  /** Longest a delivery may stay unsettled, however often it is extended. */
  readonly maxHoldMs: number;
  /** Body and headers; the core keeps 8 KiB of it for its bookkeeping. */
  readonly maxMessageBytes: number;
  /** The broker's own delivery limit, a constant backstop. The core's crash limit is min(10, this - 1). */
  readonly maxDeliveries: number;
  /** How long what a dead process held stays hidden, in ms. Absent: it is back as soon as its connection is gone. */
  readonly leaseMs?: number;
}

/** What one call takes, how many may be open, and the least time between two. */
export interface Limit {
  readonly count: number;
  readonly bytes: number;
  readonly concurrency: number;
  readonly everyMs: number;
}

export interface SubscribeOptions {
  /** Native prefetch or credit; {@link Subscription.resize} changes it. */
  readonly maxInFlight: number;
  /** The broker has these back (channel, session, partition gone): start none, abort the running, settle none. */
  readonly onLost: (deliveries: readonly Delivery[], cause: WaybillError) => void;
}

export interface Subscription {
  /**
   * Resolves with 1 to `max` deliveries as soon as there is one, in stored order per key; with none only after `signal`
   * aborts. After a rejection with a retryable error the next call reconnects.
   */
  receive(max: number, signal: AbortSignal): Promise<readonly Delivery[]>;
  /**
   * Resolves once the adapter needs no more from the core. Rejects with BatchError whose failures are LEASE_LOST for
   * those that will be handed out again.
   */
  settle(batch: readonly Settlement[]): Promise<void>;
  /**
   * Resolves with the new `leaseUntil` by index, 0 where lost. Where leases have no clock: one round trip that proves
   * they are still ours, and Infinity.
   */
  extend(deliveries: readonly Delivery[]): Promise<readonly number[]>;
  /**
   * Changes the native prefetch; 0: hand out nothing more. What the adapter holds unasked goes back to the broker, what
   * the core holds stays as it is; with ordering 'one-process' the core calls it while it holds nothing. Resolves once
   * the broker hands out at most that many.
   */
  resize(maxInFlight: number): Promise<void>;
  /** Flushes settlements, gives the rest back, ends by `deadlineMs` (epoch) even when the broker is gone. */
  close(deadlineMs: number): Promise<void>;
}

/** One page of dead letters. `after` is absent on the last. */
export interface Page {
  readonly letters: readonly Delivery[];
  readonly after?: string;
}

export interface Admin {
  /** Creates what is missing and resolves with one sentence for each; rejects with CONFLICT on a difference; deletes nothing. */
  apply(topology: Topology, signal: AbortSignal): Promise<readonly string[]>;
  depth(queue: Queue): Promise<Depth>;
  purge(queue: Queue, lane: Lane): Promise<void>;
}

/** What a client library logged. No value in it is a credential. */
export interface ClientLine {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** One broker. A driver makes native calls: no retry, backoff, policy, logging, metrics or JSON of message bodies. */
export interface Driver {
  readonly spec: 1;
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly limits: { readonly send: Limit; readonly receive: Limit; readonly settle: Limit };
  /**
   * Resolves once all are stored, one key's in batch order. Rejects with BatchError: exactly those not stored, or of
   * unknown outcome where the failure's code is TIMEOUT. Any other error but UNAVAILABLE: each may be stored.
   * Many sends are given the same signal: whoever listens to it stops when the send is over.
   */
  send(batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void>;
  /** Resolves once messages sent from now on would arrive; rejects with NOT_FOUND naming what is missing. */
  subscribe(queue: Queue, lane: Lane, options: SubscribeOptions): Promise<Subscription>;
  /** What is missing or differs, one sentence each, found with data-plane rights only. */
  verify(topology: Topology, signal: AbortSignal): Promise<readonly string[]>;
  /**
   * Dead letters without taking them, a page at a time; `after` continues. `max` 0 ends a listing early. Absent: the
   * core receives and releases.
   */
  browse?(queue: Queue, after: string | undefined, max: number): Promise<Page>;
  /**
   * Of `types`, those that the queue is bound to on the broker by now, whichever process applied that; read afresh at
   * the call. Only where `filtersTypes` is false. Absent: what this process does not handle counts as unbound.
   */
  boundTypes?(queue: Queue, types: readonly string[]): Promise<readonly string[]>;
  /** What the client library logs, from now on; at most one listener a bus. Absent: it logs nothing. */
  watch?(listener: (line: ClientLine) => void): void;
  /** Absent without management rights. */
  readonly admin?: Admin;
  /** Ends by `deadlineMs` (epoch) even when the broker is gone. */
  close(deadlineMs: number): Promise<void>;
}
