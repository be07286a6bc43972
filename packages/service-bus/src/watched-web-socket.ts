import type { WebSocketOptions } from '@azure/service-bus';

/** What a connection goes over, as far as its life depends on it. */
export interface Wire {
  readonly bytesRead: number;
  destroy(error?: Error): void;
}

interface Socket {
  readonly onerror: ((error: Error) => void) | null;
  addEventListener(event: 'message', listener: (event: { readonly data: ArrayBuffer }) => void): void;
  close(): void;
  /** Of the package ws: without waiting for the other side. */
  terminate?(): void;
}

type SocketClass = new (...settings: readonly unknown[]) => Socket;

/** The client hides its WebSocket so well that nobody can end it, or see that something came: this one is known. */
export class WatchedWebSocket implements Wire {
  readonly options: WebSocketOptions;
  #socket: Socket | undefined;
  #bytesRead = 0;

  constructor(options: WebSocketOptions) {
    const Given = options.webSocket as unknown as SocketClass;
    const watch = (socket: Socket): Socket => this.#watch(socket);
    // Called with `new`, and gives another object.
    const webSocket = function (...settings: readonly unknown[]): Socket {
      return watch(new Given(...settings));
    };
    this.options = { ...options, webSocket: webSocket as unknown as NonNullable<WebSocketOptions['webSocket']> };
  }

  get bytesRead(): number {
    return this.#bytesRead;
  }

  destroy(error?: Error): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#socket = undefined;
    const { onerror } = socket;
    // The client's own: it shall hear of nothing that comes later.
    Object.assign(socket, { onmessage: null, onclose: null, onerror: () => undefined });
    if (socket.terminate === undefined) socket.close();
    else socket.terminate();
    if (error !== undefined) onerror?.(error);
  }

  #watch(socket: Socket): Socket {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => {
      this.#bytesRead += data.byteLength;
    });
    return socket;
  }
}
