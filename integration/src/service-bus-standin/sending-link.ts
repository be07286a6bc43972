import type { Delivery, Receiver } from 'rhea';

import { accept, type Content, cut, decode, encode, reject } from './amqp.ts';
import type { Faults } from './faults.ts';
import type { LinkHandler } from './link-handler.ts';
import type { Namespace } from './namespace.ts';
import { Problem, sizeExceeded } from './problem.ts';

/** Bodies of such a message are encoded messages. */
const batchFormat = 0x80_01_37_00;

interface Section {
  readonly content: Buffer | readonly Buffer[];
  readonly multiple?: boolean;
}

export interface SendingLinkOptions {
  readonly namespace: Namespace;
  readonly faults: Faults;
  readonly path: string;
  readonly maxMessageSize: number;
}

/** Takes what a client sends to an entity. */
export function sendingLink(link: Receiver, options: SendingLinkOptions): LinkHandler {
  const { namespace, faults, path, maxMessageSize } = options;
  return {
    path,
    message: (message, delivery) => {
      try {
        faults.checkSend(path);
        const size = Buffer.isBuffer(message) ? message.length : encode(message).length;
        if (size > maxMessageSize) {
          throw sizeExceeded(size, maxMessageSize);
        }
        namespace.send(path, contentsOf(message, delivery));
        namespace.flush();
      } catch (error) {
        refuse(delivery, error);
        return;
      }
      if (faults.losesAnswer(path, 'sends')) {
        cut(link.connection);
      } else {
        accept(delivery);
      }
    },
    close: () => undefined,
  };
}

function contentsOf(message: Content | Buffer, { format }: Delivery): readonly Content[] {
  if (!Buffer.isBuffer(message)) {
    return [message];
  }
  const envelope = decode(message);
  if (format !== batchFormat) {
    return [envelope];
  }
  const { content } = envelope.body as Section;
  return (Buffer.isBuffer(content) ? [content] : content).map(decode);
}

function refuse(delivery: Delivery, error: unknown): void {
  if (!(error instanceof Problem)) {
    throw error;
  }
  reject(delivery, { condition: error.condition, description: error.description });
}
