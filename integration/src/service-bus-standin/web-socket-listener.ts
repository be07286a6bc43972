import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';

import { type WebSocket, WebSocketServer } from 'ws';

import type { Tls } from './amqp-server.ts';

const PATH = '/$servicebus/websocket';
const PROTOCOL = 'AMQPWSB10';

/** Takes AMQP over WebSockets where the service does, and only with TLS: the client knows no other. */
export class WebSocketListener {
  readonly #server: Server;
  readonly #sockets: WebSocketServer;

  private constructor(server: Server, accept: (socket: WebSocket) => void) {
    this.#server = server;
    this.#sockets = new WebSocketServer({
      server,
      path: PATH,
      handleProtocols: (offered) => (offered.has(PROTOCOL) ? PROTOCOL : false),
    });
    this.#sockets.on('connection', accept);
  }

  /** Resolves once it listens on a port of 127.0.0.1; 0 for any. */
  static async listen(tls: Tls, port: number, accept: (socket: WebSocket) => void): Promise<WebSocketListener> {
    const server = createServer({ key: tls.key, cert: tls.certificate });
    const listener = new WebSocketListener(server, accept);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
    return listener;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Without a word; new ones are taken. */
  dropConnections(): void {
    for (const socket of this.#sockets.clients) {
      socket.terminate();
    }
  }

  close(): void {
    this.#sockets.close();
    this.#server.close();
  }
}
