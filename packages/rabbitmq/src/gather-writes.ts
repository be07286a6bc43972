import { Duplex } from 'node:stream';
import type { Connection } from 'amqplib';

/** Bytes that may wait in a socket before amqplib is asked to wait. Node's own 16 KiB are a dozen messages. */
export const SOCKET_BUFFER_BYTES = 131_072;

/**
 * amqplib writes every message to its socket by itself: a system call for each, and a third of what publishing costs. With
 * this all that one turn writes goes out in one. A later amqplib may keep its socket elsewhere: then nothing is gathered.
 */
export function gatherWrites(connection: Connection): void {
  const { stream } = connection as Connection & { readonly stream?: unknown };
  if (!(stream instanceof Duplex)) return;
  const write = stream.write.bind(stream);
  let isCorked = false;
  const uncork = (): void => {
    isCorked = false;
    stream.uncork();
  };
  stream.write = (...args: unknown[]): boolean => {
    if (!isCorked) {
      isCorked = true;
      stream.cork();
      process.nextTick(uncork);
    }
    return write(...(args as Parameters<Duplex['write']>));
  };
}
