import { setMaxListeners } from 'node:events';
import { pause, systemClock, type WaybillError } from '@waybill/core/driver';
import { RECEIVING } from './receiver-link.ts';
import type { ClientLife, ServiceBusConnection } from './service-bus-connection.ts';
import { toWaybillError } from './service-bus-error.ts';
import { type SessionEvents, SessionLink } from './session-link.ts';

/** Accepts that may be open at once, while there are sessions to accept. */
const MOST_ACCEPTS = 32;
/** A session without messages is let go after this; at once, or nearly, where others wait for its place. */
const IDLE_MS = 1_000;
const CROWDED_IDLE_MS = 50;
const LOOK_MS = 50;
/** An accept that took less found a session that was there. */
const WAITED_MS = 500;
/** As many are enough to work on. More would be kept from other processes. */
const ENOUGH = 128;
/** A session that has not moved for so long, for a retry or a slow handler, is not one of these. */
const STUCK_MS = 500;
/** The longest that one is kept while others wait for its place. */
const TURN_MS = 60_000;
/** Of one session: the rest of a key waits behind its first anyway. */
const LARGEST_WINDOW = 8;
/** Between two accepts that the broker refused without waiting. */
const REFUSED_MS = 200;

export interface PoolEvents extends SessionEvents {
  /** It accepts no more, until it is opened again. */
  stopped(cause: WaybillError): void;
}

/** Which sessions this process has: as many as there is room for, and each for a while only. */
export class SessionPool {
  readonly sessions: Set<SessionLink> = new Set();
  readonly #connection: ServiceBusConnection;
  readonly #queue: string;
  readonly #events: PoolEvents;
  #life: ClientLife | undefined;
  #abort = new AbortController();
  #maxInFlight: number;
  #accepting = 0;
  /** How many accepts seem worth it: doubled by each that finds a session. */
  #eager = 1;
  #stuck = 0;
  /** The last accept did not wait: there are more sessions than processes have taken. */
  #isWanted = false;

  constructor(connection: ServiceBusConnection, queue: string, options: { events: PoolEvents; maxInFlight: number }) {
    this.#connection = connection;
    this.#queue = queue;
    this.#events = options.events;
    this.#maxInFlight = options.maxInFlight;
  }

  get isOpen(): boolean {
    return this.#life !== undefined && this.#life.lost === undefined;
  }

  open(life: ClientLife): void {
    this.#life = life;
    this.#abort = new AbortController();
    setMaxListeners(MOST_ACCEPTS * 4, this.#abort.signal);
    this.fill();
    this.#lookAfter();
  }

  /** Fewer: what is above goes on until it is settled, and takes no more. */
  resize(maxInFlight: number): void {
    this.#maxInFlight = maxInFlight;
    let left = this.#most;
    for (const session of this.sessions) {
      if (session.ending) continue;
      left -= 1;
      if (left < 0) void this.end(session);
      else this.grant(session);
    }
    this.fill();
  }

  grant(session: SessionLink): void {
    // Half of the window is for sessions that are yet to come.
    const share = Math.floor(this.#maxInFlight / (this.sessions.size + 1) / 2);
    session.grant(Math.min(Math.max(share, 1), LARGEST_WINDOW), this.#room);
  }

  /** Takes no more of it; lets it go once nothing of it is held. */
  async end(session: SessionLink): Promise<void> {
    if (!session.ending) {
      session.ending = true;
      // Without anything in hand it can go as it is: what is on its way goes back with it.
      if (session.held.size > 0) await session.drain();
    }
    if (session.held.size > 0 || !this.sessions.delete(session)) return;
    await session.close().catch(() => undefined);
    this.fill();
  }

  remove(session: SessionLink): void {
    this.sessions.delete(session);
    this.fill();
  }

  /** Accepts no more. What comes now goes back at once. */
  stop(): void {
    this.#life = undefined;
    this.#abort.abort();
  }

  get #most(): number {
    return Math.min(this.#connection.settings.maxSessions, this.#maxInFlight, ENOUGH + this.#stuck);
  }

  get #room(): number {
    let room = this.#maxInFlight;
    for (const session of this.sessions) room -= session.taken;
    return room;
  }

  get #isCrowded(): boolean {
    return this.#isWanted || this.sessions.size + this.#accepting >= this.#most;
  }

  /** Accepts sessions, as many as seem worth it. */
  fill(): void {
    const life = this.#life;
    if (life === undefined) return;
    const room = Math.min(this.#most - this.sessions.size, this.#room);
    while (this.#accepting < Math.min(room, this.#eager, MOST_ACCEPTS)) {
      this.#accepting += 1;
      void this.#accept(life).finally(() => {
        this.#accepting -= 1;
        this.fill();
      });
    }
  }

  async #accept(life: ClientLife): Promise<void> {
    const { signal } = this.#abort;
    const began = systemClock.now();
    try {
      const accepting = life.client.acceptNextSession(this.#queue, { ...RECEIVING, abortSignal: signal });
      const receiver = await life.whileAlive(accepting);
      if (life !== this.#life || this.sessions.size >= this.#most) return await receiver.close();
      const settings = { queue: this.#queue, leaseMs: this.#connection.settings.leaseMs };
      const session = new SessionLink(life, receiver, settings, this.#events);
      this.sessions.add(session);
      this.#isWanted = systemClock.now() - began < WAITED_MS;
      this.#eager = Math.min(this.#eager * 2, MOST_ACCEPTS);
      session.start();
    } catch (cause) {
      await this.#refused(cause, signal);
    }
  }

  async #refused(cause: unknown, signal: AbortSignal): Promise<void> {
    this.#eager = 1;
    this.#isWanted = false;
    if (signal.aborted) return;
    const error = toWaybillError(cause, `accept a session of queue "${this.#queue}"`);
    // The client says "cannot be locked" for any refusal; that there is none takes a while.
    if (error.code === 'TIMEOUT') return;
    if ((cause as { readonly code?: unknown }).code === 'SessionCannotBeLocked') {
      return pause(systemClock, REFUSED_MS, signal);
    }
    this.stop();
    this.#events.stopped(error);
  }

  #lookAfter(): void {
    systemClock.after(LOOK_MS, () => {
      if (this.#life === undefined && this.sessions.size === 0) return;
      this.#stuck = 0;
      for (const session of this.sessions) this.#look(session);
      this.fill();
      this.#lookAfter();
    });
  }

  #look(session: SessionLink): void {
    if (session.over || session.ending) return;
    const now = systemClock.now();
    const isOver = this.#isCrowded && now - session.since >= TURN_MS;
    if (isOver || session.isIdle(this.#isCrowded ? CROWDED_IDLE_MS : IDLE_MS, IDLE_MS)) void this.end(session);
    else if (session.held.size > 0 && now - session.lastActive >= STUCK_MS) {
      this.#stuck += 1;
      // What it has asked for is room that others can use.
      void session.drain();
    }
  }
}
