import type { Server } from 'node:http';

import { AmqpServer, type Tls } from './amqp-server.ts';
import { openNamespace } from './durable-namespace.ts';
import { Faults } from './faults.ts';
import { listenForManagement, portOf } from './management-server.ts';
import type { Namespace } from './namespace.ts';
import type { Access } from './token.ts';

export interface StandinOptions {
  readonly access: Access;
  /** Of the AMQP port; 0 for any. */
  readonly port: number;
  /** 0 for any. */
  readonly managementPort: number;
  /** Of a message or a batch, in bytes. */
  readonly maxMessageSize: number;
  readonly idleTimeoutMs: number;
  /** Of AMQP over WebSockets, which is there with TLS only; 0 for any. @default 0 */
  readonly webSocketPort?: number;
  /** Speaks TLS on all ports. */
  readonly tls?: Tls;
  /** A file that keeps all that is stored, and from which it begins. */
  readonly journal?: string;
}

/** The ports of the stand-in and what is behind them, in this process. */
export interface Standin {
  readonly namespace: Namespace;
  readonly faults: Faults;
  readonly amqp: AmqpServer;
  readonly port: number;
  readonly managementPort: number;
  /** Undefined without TLS. */
  readonly webSocketPort: number | undefined;
  /** Closes the ports and cuts every connection; messages stay. */
  goDown(): void;
  /** Opens the same ports again; resolves once they listen. */
  comeUp(): Promise<void>;
  /** Goes down for good. */
  close(): void;
}

interface Ports {
  readonly amqp: AmqpServer;
  readonly management: Server;
}

/** Resolves once both ports listen. */
export async function listen(options: StandinOptions): Promise<Standin> {
  const namespace = openNamespace(options.journal);
  const faults = new Faults();
  const open = async (port: number, webSocketPort: number, managementPort: number): Promise<Ports> => ({
    amqp: await AmqpServer.listen({ ...options, namespace, faults, port, webSocketPort }),
    management: await listenForManagement({ ...options, namespace }, managementPort),
  });
  let ports = await open(options.port, options.webSocketPort ?? 0, options.managementPort);
  const { port, webSocketPort } = ports.amqp;
  const managementPort = portOf(ports.management);
  const goDown = (): void => {
    ports.amqp.close();
    closeNow(ports.management);
  };
  return {
    namespace,
    faults,
    get amqp() {
      return ports.amqp;
    },
    port,
    managementPort,
    webSocketPort,
    goDown,
    comeUp: async () => {
      ports = await open(port, webSocketPort ?? 0, managementPort);
    },
    close: () => {
      goDown();
      namespace.close();
    },
  };
}

function closeNow(server: Server): void {
  server.close();
  server.closeAllConnections();
}
