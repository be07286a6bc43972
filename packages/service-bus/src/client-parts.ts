import type {
  ServiceBusClient,
  ServiceBusMessageBatch,
  ServiceBusReceivedMessage,
  ServiceBusReceiver,
  ServiceBusSender,
  ServiceBusSessionReceiver,
} from '@azure/service-bus';
import { systemClock } from '@waybill/core/driver';
import type { Wire } from './watched-web-socket.ts';

/**
 * What the client has and does not show: credit, the events of links, the socket. The only file that knows; the version
 * of the client is fixed for it.
 */
export interface Link {
  readonly credit: number;
  drain: boolean;
  isOpen(): boolean;
  addCredit(count: number): void;
  drainCredit(): void;
  close(): Promise<void>;
  once(event: string, listener: () => void): void;
}

interface Waiting {
  readonly timer: NodeJS.Timeout | undefined;
  resolve(): void;
  reject(error: Error): void;
}

/** Answers that a link waits for. The client forgets them when the link ends, and says so after its timeout. */
type Answers = Map<number, Waiting>;

interface LinkOwner {
  readonly link: Link | undefined;
}

/** The protocol's connection below the client. After a loss the client has another, which nobody uses. */
export interface AmqpConnection {
  readonly options: { tcp_no_delay?: boolean };
  /** Of a WebSocket it is a wrapper that can do neither. */
  readonly socket?: Wire;
  readonly heartbeat_in?: NodeJS.Timeout;
  readonly heartbeat_out?: NodeJS.Timeout;
  readonly abort_idle?: NodeJS.Timeout;
  once(event: string, listener: (context: { readonly error?: Error }) => void): void;
  emit(event: string, context: object): boolean;
}

type Negotiate = (audience: string, ...more: readonly unknown[]) => Promise<unknown>;

/** Requests that wait for their answers: to show a token, or to $management. */
type Requests = Map<string, { cleanupBeforeResolveOrReject(): void; reject(error: Error): void }>;

/** What settles over the link that a message came on. */
interface Settler {
  isOpen(): boolean;
}

interface Incoming {
  readonly id: number;
  readonly link: { readonly name: string } | undefined;
  readonly remote_settled: boolean;
  accept(): void;
}

interface Context {
  getReceiverFromCache(link: string, sessionId?: string): Settler | undefined;
  readonly cbsSession: { negotiateClaim: Negotiate };
  readonly managementClients: Readonly<Record<string, { readonly link?: object }>>;
  readonly connection: { removeAllListeners(event: string): void };
}

/** A private part of an object of the client, by its name. */
function part(owner: object, name: string): unknown {
  return Reflect.get(owner, name);
}

function contextOf(client: ServiceBusClient): Context {
  return part(client, '_connectionContext') as Context;
}

/**
 * What the client does when its connection breaks: it closes links that are gone, waits for answers a minute each, and
 * throws where nobody catches.
 */
export function dropRecovery(client: ServiceBusClient): void {
  contextOf(client).connection.removeAllListeners('disconnected');
}

/**
 * The client shows its token before every link, one link after the other: with many sessions that is most of their time.
 * Once in `ms` is enough for an entity.
 */
export function rememberClaims(client: ServiceBusClient, ms: number): void {
  const { cbsSession } = contextOf(client);
  const negotiate = cbsSession.negotiateClaim.bind(cbsSession);
  const claims = new Map<string, { readonly at: number; readonly answer: Promise<unknown> }>();
  cbsSession.negotiateClaim = (audience, ...more) => {
    const known = claims.get(audience);
    if (known !== undefined && systemClock.now() - known.at < ms) return known.answer;
    tolerateLost(part(cbsSession, '_cbsSenderReceiverLink') as RequestLink | undefined);
    const answer = negotiate(audience, ...more);
    claims.set(audience, { at: systemClock.now(), answer });
    answer.catch(() => claims.delete(audience));
    return answer;
  };
}

interface RequestLink {
  readonly receiver: { readonly source?: { readonly address?: string } };
}

/**
 * A request whose time is over asks its link for its address, and a link that is gone throws: in a timer, where that ends
 * the process. {@link failRequests} finds most of them sooner, not those that are sent as the connection breaks.
 */
export function tolerateLost(link: RequestLink | undefined): void {
  if (link === undefined) return;
  let owner: object | null = link.receiver;
  while (owner !== null && !Object.hasOwn(owner, 'address')) owner = Object.getPrototypeOf(owner) as object | null;
  if (owner === null) return;
  Object.defineProperty(owner, 'address', {
    configurable: true,
    get(this: RequestLink['receiver']) {
      return this.source?.address;
    },
  });
}

/**
 * Requests that wait for an answer which cannot come any more fail now. The client would end their time where nobody
 * catches, and look at a link that is gone: that ends the process.
 */
export function failRequests(client: ServiceBusClient, error: Error): void {
  const { cbsSession, managementClients } = contextOf(client);
  const claims = part(cbsSession, '_cbsSenderReceiverLink') as object | undefined;
  const links = [claims, ...Object.values(managementClients).map(({ link }) => link)];
  for (const link of links) {
    const requests = link === undefined ? undefined : (part(link, '_responsesMap') as Requests | undefined);
    for (const request of requests?.values() ?? []) {
      request.cleanupBeforeResolveOrReject();
      request.reject(error);
    }
    requests?.clear();
  }
}

export function connectionOf(client: ServiceBusClient): AmqpConnection {
  return part(contextOf(client).connection, '_connection') as AmqpConnection;
}

/** Ends it and its timers, of which some outlive the client's close and would keep a process alive for a minute. */
export function endConnection(connection: AmqpConnection, wire: Wire | undefined): void {
  const { heartbeat_in, heartbeat_out, abort_idle } = connection;
  wire?.destroy();
  // Links that are just being attached hear of it in no other way.
  connection.emit('disconnected', { connection, error: new Error('the connection was closed') });
  for (const timer of [heartbeat_in, heartbeat_out, abort_idle]) clearTimeout(timer);
}

export function linkOfSender(sender: ServiceBusSender): Link | undefined {
  return (part(sender, '_sender') as LinkOwner).link;
}

export function linkOfReceiver(receiver: ServiceBusReceiver): Link | undefined {
  return (part(receiver, '_streamingReceiver') as LinkOwner | undefined)?.link;
}

export function linkOfSession(receiver: ServiceBusSessionReceiver): Link | undefined {
  return (part(receiver, '_messageSession') as LinkOwner).link;
}

/** What stands before a message in a batch, at most. */
const BEFORE_MESSAGE_BYTES = 8;

/** Adds a message in its own bytes to a batch that has one already, whose properties are those of the batch. False: no room. */
export function addEncoded(batch: ServiceBusMessageBatch, bytes: Buffer): boolean {
  const size = batch.sizeInBytes + bytes.length + BEFORE_MESSAGE_BYTES;
  if (size > batch.maxSizeInBytes) return false;
  (part(batch, '_encodedMessages') as Buffer[]).push(bytes);
  return Reflect.set(batch, '_sizeInBytes', size);
}

/**
 * Completes a message over the link that it came on, as the client does, without a span, a retry, a timer and some
 * promises for each. Returns whether it did: without that link only the client's own way is left. `answered` is called
 * once, unless {@link forgetAnswer} comes first.
 */
export function completeOnLink(
  client: ServiceBusClient,
  message: ServiceBusReceivedMessage,
  answered: (error?: Error) => void,
): boolean {
  const delivery = part(message, 'delivery') as Incoming;
  const answers = answersOf(client, message);
  if (answers === undefined || delivery.remote_settled) return false;
  answers.set(delivery.id, { timer: undefined, resolve: answered, reject: answered });
  delivery.accept();
  return true;
}

/** Nobody waits any more for what the broker says of it. */
export function forgetAnswer(client: ServiceBusClient, message: ServiceBusReceivedMessage): void {
  answersOf(client, message)?.delete((part(message, 'delivery') as Incoming).id);
}

function answersOf(client: ServiceBusClient, message: ServiceBusReceivedMessage): Answers | undefined {
  const { link } = part(message, 'delivery') as Incoming;
  const settler = link && contextOf(client).getReceiverFromCache(link.name, message.sessionId);
  return settler?.isOpen() === true ? answersFor(settler) : undefined;
}

function answersFor(settler: object): Answers | undefined {
  return part(settler, '_deliveryDispositionMap') as Answers | undefined;
}

/**
 * Hands messages of a stream over as they come. By itself the client opens a span around each, which would never end
 * where the callback does not.
 */
export function handMessages(
  receiver: ServiceBusReceiver,
  take: (message: ServiceBusReceivedMessage) => Promise<void>,
): void {
  const owner = part(receiver, '_streamingReceiver') as object;
  const handlersOf = part(owner, '_messageHandlers') as () => { processMessage: typeof take };
  handlersOf.call(owner).processMessage = take;
}

/** Settlements that wait for an answer which cannot come any more fail now, and their timers keep no process alive. */
export function failAnswers(receiver: ServiceBusReceiver | ServiceBusSessionReceiver, error: Error): void {
  const owner = part(receiver, '_streamingReceiver') ?? part(receiver, '_messageSession');
  if (typeof owner !== 'object' || owner === null) return;
  const answers = answersFor(owner);
  if (answers === undefined) return;
  for (const waiting of answers.values()) {
    clearTimeout(waiting.timer);
    waiting.reject(error);
  }
  answers.clear();
}

/** The client's hooks around the making of a link, first or again, beside those that it documents. */
export interface LinkHooks {
  /** Before a link is made. */
  preInitialize(): Promise<void>;
  /** It is there, and has no credit yet. */
  postInitialize(): Promise<void>;
}
