import type { Delivery, OutgoingMessage, Target } from '../driver/driver.ts';
import { uuidv5 } from '../envelope/ids.ts';
import { BOOKKEEPING_HEADER, type Bookkeeping, writeBookkeeping } from './bookkeeping.ts';

/** Copies move the raw bytes: nothing is encoded again, and the envelope's id never changes. */
export interface CopySource {
  readonly copyBase: string;
  readonly type: string;
  readonly delivery: Delivery;
}

/** An application's id: 1 to 96 printable ASCII characters without spaces. */
export const PLAIN_ID: RegExp = /^[\x21-\x7e]{1,96}$/;

/** How the ids of copies end. */
export const COPY_ID: RegExp = /#(?:r\d+)?(?:a\d+)?(?:h\d+)?d?$/;

/**
 * The id of a stored copy: `id#a2` (retry), `id#a2h1` (hop), `id#r1` (redrive), `id#r1d` (dead letter). A reused id
 * would be swallowed by a broker's duplicate detection, and the message lost.
 */
export function copyId(envelopeId: string, bookkeeping: Bookkeeping, lane: 'work' | 'dead'): string {
  // Others than Waybill may have written ids that no broker takes.
  const id = PLAIN_ID.test(envelopeId) ? envelopeId : uuidv5(envelopeId);
  const { attempt, redrives = 0, hops = 0 } = bookkeeping;
  const redrive = redrives > 0 ? `r${redrives}` : '';
  if (lane === 'dead') return `${id}#${redrive}d`;
  const retry = attempt > 1 ? `a${attempt}` : '';
  const hop = hops > 0 ? `h${hops}` : '';
  return `${id}#${redrive}${retry}${hop}`;
}

/** A copy of `source` for `lane` of `queue`, with its bookkeeping renewed. */
export function copyOf(
  source: CopySource,
  target: Target & { readonly lane: 'work' | 'dead' },
  bookkeeping: Bookkeeping,
  options: { readonly key?: string | undefined; readonly notBefore?: number | undefined } = {},
): OutgoingMessage {
  const { delivery } = source;
  return {
    target,
    id: copyId(source.copyBase, bookkeeping, target.lane),
    type: source.type,
    contentType: delivery.contentType,
    body: delivery.body,
    headers: { ...delivery.headers, [BOOKKEEPING_HEADER]: writeBookkeeping(bookkeeping) },
    ...(options.key === undefined ? {} : { key: options.key }),
    ...(options.notBefore === undefined ? {} : { notBefore: options.notBefore }),
  };
}
