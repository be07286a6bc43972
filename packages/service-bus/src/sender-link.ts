import type { ServiceBusMessage, ServiceBusMessageBatch, ServiceBusSender } from '@azure/service-bus';
import { systemClock, WaybillError } from '@waybill/core/driver';
import { addEncoded, linkOfSender } from './client-parts.ts';
import { encodeMessage } from './encode-message.ts';
import type { ClientLife } from './service-bus-connection.ts';
import { toWaybillError } from './service-bus-error.ts';

/** Messages that go out as one transfer, stored all or none. */
export interface Transfer {
  readonly indexes: readonly number[];
  readonly content: ServiceBusMessageBatch | ServiceBusMessage;
}

/** The way to one entity. The client does not tell those who wait that a link has ended; this does. */
export class SenderLink {
  readonly #life: ClientLife;
  readonly #sender: ServiceBusSender;
  /** What waits for the broker's answer. */
  readonly #open = new Set<AbortController>();
  #ended = false;

  constructor(life: ClientLife, sender: ServiceBusSender) {
    this.#life = life;
    this.#sender = sender;
  }

  /** Rejects with what the client says when the entity is missing, or not ours to send to. */
  static async attach(life: ClientLife, entity: string): Promise<SenderLink> {
    const sender = life.client.createSender(entity);
    // The only call that attaches without sending.
    await life.whileAlive(sender.createMessageBatch());
    const link = new SenderLink(life, sender);
    link.#watch();
    return link;
  }

  get ended(): boolean {
    return this.#ended || this.#life.lost !== undefined;
  }

  /** Fills transfers in order, each up to the link's own limit. Those that fit into none are left out of all. */
  async pack(
    messages: readonly (readonly [index: number, message: ServiceBusMessage])[],
  ): Promise<readonly Transfer[]> {
    const [only] = messages;
    // A batch of one would be encoded twice.
    if (only !== undefined && messages.length === 1) return [{ indexes: [only[0]], content: only[1] }];
    const transfers: Transfer[] = [];
    let batch = await this.#sender.createMessageBatch();
    let indexes: number[] = [];
    const finish = async (): Promise<void> => {
      if (indexes.length > 0) transfers.push({ indexes, content: batch });
      indexes = [];
      batch = await this.#sender.createMessageBatch();
    };
    for (const [index, message] of messages) {
      const fits = indexes.length > 0 ? addEncoded(batch, encodeMessage(message)) : batch.tryAddMessage(message);
      if (fits) {
        indexes.push(index);
        continue;
      }
      if (indexes.length > 0) await finish();
      if (batch.tryAddMessage(message)) indexes.push(index);
      // A batch repeats the properties of its first message: alone it may still fit.
      else transfers.push({ indexes: [index], content: message });
    }
    if (indexes.length > 0) transfers.push({ indexes, content: batch });
    return transfers;
  }

  /** Resolves once it is stored. Rejects with TIMEOUT when no answer can come any more. */
  async send({ content }: Transfer, signal: AbortSignal): Promise<void> {
    const abort = new AbortController();
    const stop = (): void => abort.abort();
    this.#open.add(abort);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    let before = this.#life.bytesRead;
    // What was on its way when it was sent is no sign of life.
    const cancel = systemClock.after(this.#life.timeoutMs / 2, () => {
      before = this.#life.bytesRead;
    });
    try {
      await this.#sender.sendMessages(content, { abortSignal: abort.signal });
    } catch (cause) {
      const isUnanswered = abort.signal.aborted || toWaybillError(cause, 'send').code === 'TIMEOUT';
      if (!isUnanswered) throw cause;
      // A broker that says nothing at all may be gone without a word: the next send finds another connection.
      if (!this.ended && this.#life.bytesRead === before) this.#life.lose(unanswered());
      throw unanswered();
    } finally {
      cancel();
      this.#open.delete(abort);
      signal.removeEventListener('abort', stop);
    }
  }

  #watch(): void {
    const end = (): void => {
      leaveLife();
      this.#ended = true;
      for (const abort of this.#open) abort.abort();
    };
    const link = linkOfSender(this.#sender);
    link?.once('sender_close', end);
    link?.once('session_close', end);
    const leaveLife = this.#life.onLost(end);
  }
}

function unanswered(): WaybillError {
  return new WaybillError('TIMEOUT', 'Service Bus did not confirm what was sent. It may be stored or not.');
}
