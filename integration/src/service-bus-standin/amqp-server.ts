import type { AddressInfo, Server } from 'node:net';
import rhea from 'rhea';
import type { Connection, EventContext, Receiver, Sender, Session } from 'rhea';

import { type AmqpProblem, type Content, cut } from './amqp.ts';
import { AmqpConnection } from './amqp-connection.ts';
import type { Faults } from './faults.ts';
import type { Namespace } from './namespace.ts';
import { entityNotFound } from './problem.ts';
import type { Access } from './token.ts';
import { WebSocketListener } from './web-socket-listener.ts';

export interface AmqpServerOptions {
  readonly namespace: Namespace;
  readonly faults: Faults;
  readonly access: Access;
  readonly maxMessageSize: number;
  /** Of a client from which nothing comes; twice this ends its connection. */
  readonly idleTimeoutMs: number;
  /** 0 for any. */
  readonly port: number;
  /** PEM texts, for TLS; then there are WebSockets too. */
  readonly tls?: Tls;
  /** Of AMQP over WebSockets; 0 for any. */
  readonly webSocketPort: number;
}

export interface Tls {
  readonly certificate: string;
  readonly key: string;
}

/** Speaks AMQP on a port of 127.0.0.1, with TLS also over WebSockets on another one. */
export class AmqpServer {
  readonly #server: Server;
  readonly #webSockets: WebSocketListener | undefined;
  readonly #connections = new Map<Connection, AmqpConnection>();

  readonly #stopListening: () => void;

  private constructor(server: Server, webSockets: WebSocketListener | undefined, namespace: Namespace) {
    this.#server = server;
    this.#webSockets = webSockets;
    this.#stopListening = namespace.onRemoved((path) => this.#detach(path, entityNotFound(path), true));
  }

  /** Resolves once it listens. */
  static async listen(options: AmqpServerOptions): Promise<AmqpServer> {
    const container = rhea.create_container({ id: 'service-bus-standin' });
    (container.sasl_server_mechanisms as { enable_anonymous(): void }).enable_anonymous();
    const settings = {
      idle_time_out: options.idleTimeoutMs,
      max_frame_size: 65_536,
      receiver_options: { autoaccept: false, credit_window: 1000 },
      sender_options: { autosettle: false, treat_modified_as_released: false },
      // Without, answers wait 40 ms for each other.
      tcp_no_delay: true,
    };
    const { tls } = options;
    const secure = tls === undefined ? {} : { transport: 'tls', key: tls.key, cert: tls.certificate };
    const server = container.listen({ host: '127.0.0.1', port: options.port, ...settings, ...secure } as never);
    await new Promise<void>((resolve, reject) => {
      server.once('listening', resolve);
      server.once('error', reject);
    });
    const webSockets =
      tls === undefined
        ? undefined
        : await WebSocketListener.listen(tls, options.webSocketPort, (socket) =>
            container.websocket_accept(socket as never, settings as never),
          );
    const amqp = new AmqpServer(server, webSockets, options.namespace);
    amqp.#listenTo(container, options);
    return amqp;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Undefined without TLS. */
  get webSocketPort(): number | undefined {
    return this.#webSockets?.port;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Cuts all connections; new ones are taken. */
  dropConnections(): void {
    for (const connection of this.#connections.keys()) {
      cut(connection);
    }
    this.#webSockets?.dropConnections();
  }

  /** Detaches all links to an entity, as the service does with those that are idle. */
  detachLinks(path: string): void {
    const description = 'The link is force detached by the broker since it was inactive for 10 minutes.';
    this.#detach(path, { condition: 'amqp:link:detach-forced', description }, false);
  }

  close(): void {
    this.#stopListening();
    this.#server.close();
    this.dropConnections();
    this.#webSockets?.close();
  }

  #detach(path: string, problem: AmqpProblem, below: boolean): void {
    for (const connection of this.#connections.values()) {
      connection.detachLinks(path, problem, below);
    }
  }

  #listenTo(container: ReturnType<typeof rhea.create_container>, options: AmqpServerOptions): void {
    const of = ({ connection }: EventContext): AmqpConnection => this.#of(connection, options);
    container.on('connection_open', of);
    container.on('sender_open', (context: EventContext) => of(context).senderOpened(context.sender as Sender));
    container.on('receiver_open', (context: EventContext) => of(context).receiverOpened(context.receiver as Receiver));
    container.on('message', (context: EventContext) => {
      if (context.receiver !== undefined && context.delivery !== undefined) {
        of(context)
          .handler(context.receiver)
          ?.message?.(context.message as Content, context.delivery);
      }
    });
    for (const outcome of ['accepted', 'rejected', 'released', 'modified']) {
      container.on(outcome, (context: EventContext) => {
        if (context.sender !== undefined && context.delivery !== undefined) {
          of(context).handler(context.sender)?.outcome?.(context.delivery);
        }
      });
    }
    for (const room of ['sender_flow', 'sendable']) {
      container.on(room, (context: EventContext) => {
        const handler = context.sender === undefined ? undefined : of(context).handler(context.sender);
        handler?.flow?.();
      });
    }
    container.on('sender_draining', (context: EventContext) => {
      const handler = context.sender === undefined ? undefined : of(context).handler(context.sender);
      handler?.drain?.();
    });
    this.#listenToEnds(container, of);
  }

  #listenToEnds(
    container: ReturnType<typeof rhea.create_container>,
    of: (context: EventContext) => AmqpConnection,
  ): void {
    const closed = (context: EventContext): void => {
      const link = context.sender ?? context.receiver;
      if (link !== undefined) {
        of(context).linkClosed(link);
      }
    };
    container.on('sender_close', closed);
    container.on('receiver_close', closed);
    container.on('sender_error', () => undefined);
    container.on('receiver_error', () => undefined);
    container.on('session_error', () => undefined);
    container.on('session_close', (context: EventContext) => of(context).sessionClosed(context.session as Session));
    const ended = ({ connection }: EventContext): void => {
      this.#connections.get(connection)?.closed();
      this.#connections.delete(connection);
    };
    container.on('connection_close', ended);
    container.on('connection_error', () => undefined);
    container.on('disconnected', ended);
    container.on('protocol_error', () => undefined);
    container.on('error', (error: unknown) => process.emitWarning(`service-bus-standin: ${String(error)}`));
  }

  #of(connection: Connection, options: AmqpServerOptions): AmqpConnection {
    let found = this.#connections.get(connection);
    if (found === undefined) {
      found = new AmqpConnection(options);
      this.#connections.set(connection, found);
    }
    return found;
  }
}
