import type { Sender } from 'rhea';

import { holdAttach, inside, refuseAttach, types } from './amqp.ts';
import type { LinkHandler } from './link-handler.ts';
import type { Mailbox } from './mailbox.ts';
import { Problem } from './problem.ts';
import { consumerOf, type ReceivingLinkOptions, takingOutcomes } from './receiving-link.ts';
import type { SessionHolder, SessionWaiter } from './sessions.ts';

export const sessionFilter = 'com.microsoft:session-filter';
const timeoutProperty = 'com.microsoft:timeout';
const lockedUntilProperty = 'com.microsoft:locked-until-utc';
const defaultWaitMs = 60_000;

/** Gives a client one session of a mailbox: the one it names, or the next that is free, for which its attach waits. */
export function sessionLink(link: Sender, options: ReceivingLinkOptions): LinkHandler {
  const { mailbox } = options;
  const wanted: unknown = link.source.filter?.[sessionFilter];
  const holder: SessionHolder = {
    ...consumerOf(link),
    lost: (problem) => link.close({ condition: problem.condition, description: problem.description }),
  };
  let held: string | undefined;
  const take = (sessionId: string): void => {
    held = sessionId;
    tellSession(link, sessionId, mailbox.sessions.lockedUntil(sessionId) ?? 0);
  };
  const handler = {
    ...takingOutcomes(link, options),
    close: () => {
      if (held !== undefined) {
        mailbox.sessions.release(held, holder);
      }
    },
  };
  if (typeof wanted === 'string') {
    mailbox.sessions.accept(wanted, holder);
    take(wanted);
    return handler;
  }
  const stopWaiting = waitForNext(link, mailbox, { holder, take });
  return {
    ...handler,
    close: () => {
      stopWaiting();
      handler.close();
    },
  };
}

interface Waiting {
  readonly holder: SessionHolder;
  readonly take: (sessionId: string) => void;
}

/** Returns what ends the wait. */
function waitForNext(link: Sender, mailbox: Mailbox, { holder, take }: Waiting): () => void {
  holdAttach(link);
  const waitMs = Number((link.properties as Record<string, unknown> | undefined)?.[timeoutProperty] ?? defaultWaitMs);
  const waiter: SessionWaiter = {
    holder,
    granted: (sessionId) => {
      clearTimeout(timer);
      take(sessionId);
      link.open();
    },
  };
  const timer = setTimeout(() => {
    mailbox.sessions.stopWaiting(waiter);
    refuseAttach(link, timeoutOf(waitMs));
  }, waitMs);
  mailbox.sessions.waitForNext(waiter);
  return () => {
    clearTimeout(timer);
    mailbox.sessions.stopWaiting(waiter);
  };
}

function timeoutOf(waitMs: number): Problem {
  const text = `The operation did not complete within the allotted timeout of ${waitMs} ms: no session was free.`;
  return new Problem('com.microsoft:timeout', text, 408);
}

function tellSession(link: Sender, sessionId: string, until: number): void {
  link.set_source({ address: link.source.address, filter: { [sessionFilter]: sessionId } });
  inside(link).local.attach.properties = { [lockedUntilProperty]: types.wrap_long(ticks(until)) };
}

/** .NET's: of 100 nanoseconds since year 1. */
function ticks(milliseconds: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(621_355_968_000_000_000n + BigInt(milliseconds) * 10_000n);
  return bytes;
}
