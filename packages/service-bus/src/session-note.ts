import type { ServiceBusSessionReceiver } from '@azure/service-bus';
import type { ClientLife } from './service-bus-connection.ts';

const NOTE = /^waybill:(\d+):(-?\d+):(\d+)$/;

/** The client has no way to say "none": what it is given it writes as JSON, but for bytes. */
const EMPTY = Buffer.alloc(0);

/**
 * What the last holders of a session had in hand first, and how often one that had it did not let the session go in
 * order. It is kept as the session's state, which is written before a message is handed out.
 */
export class SessionNote {
  readonly #life: ClientLife;
  readonly #receiver: ServiceBusSessionReceiver;
  readonly #reading: Promise<unknown>;
  #head = '';
  #count = 0;
  #counted = 0;
  /** Other programs' states are left alone. */
  #isOurs = true;

  constructor(life: ClientLife, receiver: ServiceBusSessionReceiver) {
    this.#life = life;
    this.#receiver = receiver;
    this.#reading = life.answered(receiver.getSessionState(), life.timeoutMs, 'read the state of a session');
    this.#reading.catch(() => undefined);
  }

  /**
   * `head` is the sequence number of the first message, `counted` what the broker counts of it. Resolves with how many
   * hand-outs of it the broker did not count: of a lock that ran out it does, of a link that broke it does not.
   */
  async enter(head: string, counted: number): Promise<number> {
    const state = await this.#reading;
    const [, before, count, countedBefore] = NOTE.exec(typeof state === 'string' ? state : '') ?? [];
    this.#isOurs = before !== undefined || isEmpty(state);
    if (!this.#isOurs) return 0;
    this.#head = head;
    this.#counted = counted;
    this.#count = before === head ? Number(count) + (counted > Number(countedBefore) ? 0 : 1) : 0;
    await this.#write(this.#text(this.#count));
    return Math.max(this.#count, 0);
  }

  /** A session that goes back in order is no crash; without messages it needs no state, which would be kept for ever. */
  async leave(hasMessages: boolean): Promise<void> {
    if (this.#head === '' || !this.#isOurs) return;
    await this.#write(hasMessages ? this.#text(this.#count - 1) : EMPTY);
  }

  #text(count: number): string {
    return `waybill:${this.#head}:${count}:${this.#counted}`;
  }

  #write(state: string | Buffer): Promise<void> {
    const writing = this.#receiver.setSessionState(state);
    return this.#life.answered(writing, this.#life.timeoutMs, 'write the state of a session');
  }
}

function isEmpty(state: unknown): boolean {
  return state === undefined || state === null || (state instanceof Uint8Array && state.byteLength === 0);
}
