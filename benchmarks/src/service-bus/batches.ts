import type { ServiceBusMessage, ServiceBusSender } from '@azure/service-bus';

/** Transfers that wait for the broker's answer; the client allows for far more, and more make nothing faster. */
const OPEN = 4;
/** All that are open together are what a busy publisher has in flight. */
const LARGEST = 64;
/** Of a transfer's bodies: a standard namespace takes 256 KiB with all that is around them. */
const MOST_BYTES = 200_000;

interface Waiting {
  readonly message: ServiceBusMessage;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Sends what is asked for in one turn together, some batches at a time. */
export class Batches {
  readonly #sender: ServiceBusSender;
  readonly #waiting: Waiting[] = [];
  #open = 0;
  #scheduled = false;

  constructor(sender: ServiceBusSender) {
    this.#sender = sender;
  }

  /** Resolves once it is stored. */
  send(message: ServiceBusMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ message, resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      queueMicrotask(() => {
        this.#scheduled = false;
        this.#flush();
      });
    });
  }

  #flush(): void {
    while (this.#waiting.length > 0 && this.#open < OPEN) void this.#transfer(this.#waiting.splice(0, this.#fitting()));
  }

  /** How many of those that wait go together, one at least. */
  #fitting(): number {
    let bytes = 0;
    const over = this.#waiting.findIndex(({ message }, index) => {
      bytes += (message.body as Uint8Array).byteLength;
      return index === LARGEST || (index > 0 && bytes > MOST_BYTES);
    });
    return over === -1 ? this.#waiting.length : over;
  }

  async #transfer(batch: readonly Waiting[]): Promise<void> {
    this.#open += 1;
    try {
      const messages = batch.map(({ message }) => message);
      // One alone is cheaper than a batch of one.
      await this.#sender.sendMessages(messages.length === 1 ? (messages[0] as ServiceBusMessage) : messages);
      for (const { resolve } of batch) resolve();
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    this.#open -= 1;
    this.#flush();
  }
}
