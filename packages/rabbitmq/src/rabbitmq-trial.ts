import { type OutgoingMessage, systemClock } from '@waybill/core/driver';
import type { Channel } from 'amqplib';
import type { ChannelPool } from './channel-pool.ts';
import type { Received } from './rabbitmq-session.ts';

/** From this count on the core takes a delivery for one that may kill processes, and runs it alone. */
export const SUSPECT_FROM = 3;
const MARK_MS = 2_000;

export interface TrialPorts {
  readonly channels: ChannelPool<Channel>;
  readonly send: (batch: readonly OutgoingMessage[], signal: AbortSignal) => Promise<void>;
}

/**
 * Tells on an ordered queue how often a message was alone when its process died. There a crash charges the whole window,
 * which never shrinks, because order would not survive it; so the broker's count says nothing about one message. What
 * is run alone is noted in a queue that keeps one message, and the next process to get the queue reads the note.
 */
export class RabbitmqTrial {
  readonly #ports: TrialPorts;
  readonly #queue: string;

  constructor(ports: TrialPorts, queue: string) {
    this.#ports = ports;
    this.#queue = trialName(queue);
  }

  /** Sets `deliveries`: below the suspicious ones the broker's count, else 3 and once more for each trial. */
  async judge(delivery: Received, alone: boolean): Promise<void> {
    if (delivery.deliveries < SUSPECT_FROM) return;
    const trials = alone ? await this.#trialsOf(delivery.position) : 0;
    delivery.deliveries = SUSPECT_FROM + trials;
    if (alone) await this.#note(delivery.position, trials + 1);
  }

  /** The head of an ordered queue stays the head until it is settled, so a note about another message is outdated. */
  async #trialsOf(position: string): Promise<number> {
    try {
      const note = await this.#ports.channels.with((channel) => channel.get(this.#queue, { noAck: true }));
      if (note === false || note.properties.messageId !== position) return 0;
      return Number(note.properties.headers?.['trials'] ?? 0);
    } catch {
      return 0;
    }
  }

  /** Without the note the message is only given more chances. */
  async #note(position: string, trials: number): Promise<void> {
    const note: OutgoingMessage = {
      target: { queue: this.#queue, lane: 'work' },
      id: position,
      type: 'waybill.trial',
      contentType: 'text/plain',
      body: Buffer.alloc(0),
      headers: { trials: String(trials), at: new Date(systemClock.now()).toISOString() },
    };
    await this.#ports.send([note], AbortSignal.timeout(MARK_MS)).catch(() => undefined);
  }
}

export function trialName(queue: string): string {
  return `waybill.trial.${queue}`;
}
