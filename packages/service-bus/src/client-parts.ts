import type {
  ServiceBusClient,
  ServiceBusReceiver,
  ServiceBusSender,
  ServiceBusSessionReceiver,
} from '@azure/service-bus';
import { systemClock } from '@waybill/core/driver';

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
  readonly timer: NodeJS.Timeout;
  reject(error: Error): void;
}

/** Answers that a link waits for. The client forgets them when the link ends, and says so after its timeout. */
type Answers = Map<number, Waiting>;

interface LinkOwner {
  readonly link: Link | undefined;
  readonly _deliveryDispositionMap?: Answers;
}

/** The protocol's connection below the client. After a loss the client has another, which nobody uses. */
export interface AmqpConnection {
  readonly options: { tcp_no_delay?: boolean };
  readonly socket?: { destroy(error?: Error): void; readonly bytesRead: number };
  readonly heartbeat_in?: NodeJS.Timeout;
  readonly heartbeat_out?: NodeJS.Timeout;
  readonly abort_idle?: NodeJS.Timeout;
  once(event: string, listener: (context: { readonly error?: Error }) => void): void;
  emit(event: string, context: object): boolean;
}

type Negotiate = (audience: string, ...more: readonly unknown[]) => Promise<unknown>;

interface Inside {
  readonly _connectionContext: {
    readonly cbsSession: { negotiateClaim: Negotiate };
    readonly connection: { readonly _connection: AmqpConnection; removeAllListeners(event: string): void };
  };
}

/**
 * What the client does when its connection breaks: it closes links that are gone, waits for answers a minute each, and
 * throws where nobody catches.
 */
export function dropRecovery(client: ServiceBusClient): void {
  (client as unknown as Inside)._connectionContext.connection.removeAllListeners('disconnected');
}

/**
 * The client shows its token before every link, one link after the other: with many sessions that is most of their time.
 * Once in `ms` is enough for an entity.
 */
export function rememberClaims(client: ServiceBusClient, ms: number): void {
  const { cbsSession } = (client as unknown as Inside)._connectionContext;
  const negotiate = cbsSession.negotiateClaim.bind(cbsSession);
  const claims = new Map<string, { readonly at: number; readonly answer: Promise<unknown> }>();
  cbsSession.negotiateClaim = (audience, ...more) => {
    const known = claims.get(audience);
    if (known !== undefined && systemClock.now() - known.at < ms) return known.answer;
    const answer = negotiate(audience, ...more);
    claims.set(audience, { at: systemClock.now(), answer });
    answer.catch(() => claims.delete(audience));
    return answer;
  };
}

export function connectionOf(client: ServiceBusClient): AmqpConnection {
  return (client as unknown as Inside)._connectionContext.connection._connection;
}

/** Ends it and its timers, of which some outlive the client's close and would keep a process alive for a minute. */
export function endConnection(connection: AmqpConnection): void {
  const { socket, heartbeat_in, heartbeat_out, abort_idle } = connection;
  socket?.destroy();
  // Links that are just being attached hear of it in no other way.
  connection.emit('disconnected', { connection, error: new Error('the connection was closed') });
  for (const timer of [heartbeat_in, heartbeat_out, abort_idle]) clearTimeout(timer);
}

export function linkOfSender(sender: ServiceBusSender): Link | undefined {
  return (sender as unknown as { readonly _sender: LinkOwner })._sender.link;
}

export function linkOfReceiver(receiver: ServiceBusReceiver): Link | undefined {
  return (receiver as unknown as { readonly _streamingReceiver?: LinkOwner })._streamingReceiver?.link;
}

export function linkOfSession(receiver: ServiceBusSessionReceiver): Link | undefined {
  return (receiver as unknown as { readonly _messageSession: LinkOwner })._messageSession.link;
}

/** Settlements that wait for an answer which cannot come any more fail now, and their timers keep no process alive. */
export function failAnswers(receiver: ServiceBusReceiver | ServiceBusSessionReceiver, error: Error): void {
  const { _streamingReceiver, _messageSession } = receiver as unknown as {
    readonly _streamingReceiver?: LinkOwner;
    readonly _messageSession?: LinkOwner;
  };
  const answers = (_streamingReceiver ?? _messageSession)?._deliveryDispositionMap;
  if (answers === undefined) return;
  for (const { timer, reject } of answers.values()) {
    clearTimeout(timer);
    reject(error);
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
