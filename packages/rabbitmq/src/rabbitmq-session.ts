import { type BatchFailure, type Delivery, type Lane, type Settlement, WaybillError } from '@waybill/core/driver';
import type { Channel, Message } from 'amqplib';
import { fromRabbitmqMessage } from './from-rabbitmq-message.ts';

/** A delivery of ours; `deliveries` may be put right until the core has it. */
export type Received = Delivery & { deliveries: number; readonly raw: Message };

/** Settled ones at the front of the list are cut off when there are so many. */
const CUT_AT = 1_024;

/**
 * What one channel has handed out and nobody settled. Delivery tags mean something on their channel only: settled on a
 * later one they close it, or settle another message.
 */
export class RabbitmqSession {
  readonly channel: Channel;
  readonly #lane: Lane;
  readonly #origin: string;
  /** By delivery tag less `#cut` less 1: tags count from 1. Not the kit's Prefix: a closure and a map entry a message. */
  #held: (Received | undefined)[] = [];
  #cut = 0;
  /** All below this index are settled. */
  #finished = 0;

  constructor(channel: Channel, lane: Lane, origin: string) {
    this.channel = channel;
    this.#lane = lane;
    this.#origin = origin;
  }

  /** Every message of the channel passes here, in the order of the tags. */
  add(message: Message): Received {
    const delivery = fromRabbitmqMessage(message, this.#lane, this.#origin) as Received;
    this.#held.push(delivery);
    return delivery;
  }

  has(delivery: Delivery): boolean {
    return this.#held[this.#indexOf(delivery)] === delivery;
  }

  /** Forgets and returns what it held, oldest first. */
  clear(): readonly Received[] {
    const held = this.#held.filter((each) => each !== undefined);
    this.#held.fill(undefined);
    return held;
  }

  /** Everything that it holds, in one frame. */
  giveBackAll(): void {
    const last = this.clear().at(-1);
    if (last !== undefined) this.channel.nack(last.raw, true, true);
  }

  giveBack(deliveries: readonly Received[]): void {
    for (const delivery of deliveries) {
      this.#finish(delivery);
      this.channel.nack(delivery.raw, false, true);
    }
  }

  /** Writes the settlements; returns those of deliveries that it does not hold. With `keep` it goes on holding the released. */
  settle(batch: readonly Settlement[], keep?: (delivery: Received) => void): readonly BatchFailure[] {
    const failures: BatchFailure[] = [];
    const accepted: Message[] = [];
    for (const [index, { delivery, action }] of batch.entries()) {
      if (keep !== undefined && action === 'release' && this.has(delivery)) keep(delivery as Received);
      else if (!this.#finish(delivery)) failures.push({ index, error: leaseLost(delivery) });
      else if (action === 'accept') accepted.push(messageOf(delivery));
      else this.channel.nack(messageOf(delivery), false, action === 'release');
    }
    if (accepted.length > 0) this.#accept(accepted);
    return failures;
  }

  /**
   * One frame for all that are in the finished prefix, one for each of the others: to wait with those would leave them to
   * be handed out again if the process dies. The frame names the highest of this batch, never a tag that is settled
   * already: "unknown delivery tag" closes the channel.
   */
  #accept(messages: readonly Message[]): void {
    const finishedUpTo = this.#finishedUpTo();
    let last: Message | undefined;
    for (const message of messages) {
      const tag = message.fields.deliveryTag;
      if (tag > finishedUpTo) this.channel.ack(message, false);
      else if (last === undefined || tag > last.fields.deliveryTag) last = message;
    }
    if (last !== undefined) this.channel.ack(last, true);
  }

  #finishedUpTo(): number {
    while (this.#finished < this.#held.length && this.#held[this.#finished] === undefined) this.#finished += 1;
    const tag = this.#cut + this.#finished;
    if (this.#finished >= CUT_AT) {
      this.#held = this.#held.slice(this.#finished);
      this.#cut = tag;
      this.#finished = 0;
    }
    return tag;
  }

  #finish(delivery: Delivery): boolean {
    const index = this.#indexOf(delivery);
    if (this.#held[index] !== delivery) return false;
    this.#held[index] = undefined;
    return true;
  }

  #indexOf(delivery: Delivery): number {
    return messageOf(delivery).fields.deliveryTag - this.#cut - 1;
  }
}

export function leaseLost(delivery: Delivery): WaybillError {
  return new WaybillError(
    'LEASE_LOST',
    `Delivery ${delivery.position} is not ours any more: the channel that it came on is closed. It will be handed out again.`,
  );
}

function messageOf(delivery: Delivery): Message {
  return delivery.raw as Message;
}
