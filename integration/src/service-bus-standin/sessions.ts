import type { Consumer } from './mailbox-parts.ts';
import { type Problem, sessionLocked, sessionLockLost } from './problem.ts';

/** A receiver that has a session. */
export interface SessionHolder extends Consumer {
  /** Its lock expired. */
  lost(problem: Problem): void;
}

/** A receiver that waits for whatever session is free. */
export interface SessionWaiter {
  readonly holder: SessionHolder;
  /** It holds this one now. */
  granted(sessionId: string): void;
}

interface SessionHost {
  lockMs(): number;
  hasMessages(sessionId: string): boolean;
  /** Has locked messages of a session return; `counts` where that is a failed delivery. */
  released(sessionId: string, counts: boolean): void;
  changed(): void;
  due(at: number): void;
  stateChanged(sessionId: string, state: Buffer | undefined): void;
}

interface HeldSession {
  readonly holder: SessionHolder;
  until: number;
}

/** The sessions of one mailbox. */
export class Sessions {
  readonly #host: SessionHost;
  readonly #held = new Map<string, HeldSession>();
  readonly #states = new Map<string, Buffer>();
  /** Free sessions with messages, the one that waits longest first. */
  readonly #free = new Set<string>();
  readonly #waiters = new Set<SessionWaiter>();

  constructor(host: SessionHost) {
    this.#host = host;
  }

  /** Throws where another receiver has it. */
  accept(sessionId: string, holder: SessionHolder): void {
    if (this.#held.has(sessionId)) {
      throw sessionLocked(sessionId);
    }
    const until = Date.now() + this.#host.lockMs();
    this.#held.set(sessionId, { holder, until });
    this.#free.delete(sessionId);
    this.#host.due(until);
    this.#host.changed();
  }

  waitForNext(waiter: SessionWaiter): void {
    this.#waiters.add(waiter);
    this.#host.changed();
  }

  stopWaiting(waiter: SessionWaiter): void {
    this.#waiters.delete(waiter);
  }

  grantWaiting(): void {
    for (const waiter of this.#waiters) {
      const sessionId = this.#nextFree();
      if (sessionId === undefined) {
        return;
      }
      this.#waiters.delete(waiter);
      this.accept(sessionId, waiter.holder);
      waiter.granted(sessionId);
    }
  }

  *holders(): Iterable<[sessionId: string, holder: SessionHolder]> {
    for (const [id, { holder }] of this.#held) {
      yield [id, holder];
    }
  }

  /** A message of it is there to receive. */
  hasNow(sessionId: string): void {
    if (!this.#held.has(sessionId)) {
      this.#free.add(sessionId);
    }
  }

  lockedUntil(sessionId: string): number | undefined {
    return this.#held.get(sessionId)?.until;
  }

  /** Returns until when the lock holds now. */
  renew(sessionId: string): number {
    const session = this.#held.get(sessionId);
    if (session === undefined) {
      throw sessionLockLost();
    }
    session.until = Date.now() + this.#host.lockMs();
    return session.until;
  }

  /** Its receiver is gone. That is no failed delivery, other than a lock that expires. */
  release(sessionId: string, holder: SessionHolder): void {
    if (this.#held.get(sessionId)?.holder === holder) {
      this.#letGo(sessionId, false);
    }
  }

  state(sessionId: string): Buffer | undefined {
    this.#demandHeld(sessionId);
    return this.#states.get(sessionId);
  }

  setState(sessionId: string, state: Buffer | undefined): void {
    this.#demandHeld(sessionId);
    this.restoreState(sessionId, state);
    this.#host.stateChanged(sessionId, state);
  }

  /** Sets it without a lock. */
  restoreState(sessionId: string, state: Buffer | undefined): void {
    if (state === undefined) {
      this.#states.delete(sessionId);
    } else {
      this.#states.set(sessionId, state);
    }
  }

  /** By session. */
  get states(): ReadonlyMap<string, Buffer> {
    return this.#states;
  }

  tick(now: number): void {
    for (const [id, { holder, until }] of this.#held) {
      if (until > now) {
        this.#host.due(until);
      } else {
        this.#letGo(id, true);
        holder.lost(sessionLockLost());
      }
    }
  }

  #letGo(sessionId: string, counts: boolean): void {
    this.#held.delete(sessionId);
    this.#host.released(sessionId, counts);
    if (this.#host.hasMessages(sessionId)) {
      this.#free.add(sessionId);
    }
    this.#host.changed();
  }

  #nextFree(): string | undefined {
    for (const sessionId of this.#free) {
      if (this.#host.hasMessages(sessionId)) {
        return sessionId;
      }
      this.#free.delete(sessionId);
    }
    return undefined;
  }

  #demandHeld(sessionId: string): void {
    if (!this.#held.has(sessionId)) {
      throw sessionLockLost();
    }
  }
}
