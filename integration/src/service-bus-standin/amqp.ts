// What the stand-in uses of rhea, with the parts that its typings leave out.
// oxlint-disable eslint/no-underscore-dangle -- That is how rhea names its inside.
import rhea from 'rhea';
import type { Connection, Delivery, Receiver, Sender, Session, Source, TerminusOptions } from 'rhea';

/** Sections of a message as rhea decodes them: properties and header fields side by side. */
export interface Content {
  readonly ttl?: number;
  readonly message_id?: string | number | Buffer;
  readonly correlation_id?: string | number | Buffer;
  readonly subject?: string;
  readonly to?: string;
  readonly reply_to?: string;
  readonly group_id?: string;
  readonly reply_to_group_id?: string;
  readonly content_type?: string;
  readonly application_properties?: Readonly<Record<string, unknown>>;
  readonly message_annotations?: Readonly<Record<string, unknown>>;
  readonly delivery_annotations?: Readonly<Record<string, unknown>>;
  readonly delivery_count?: number;
  readonly body?: unknown;
}

export interface AmqpProblem {
  readonly condition: string;
  readonly description: string;
}

/** A value with its AMQP type, as rhea's `types` make it. */
type Typed = object;

interface Described {
  described(): unknown;
}

interface Outcomes {
  accepted(): Described;
  rejected(fields: { readonly error: AmqpProblem }): Described;
  encode(content: object): Buffer;
  decode(bytes: Buffer): Content;
}

const { message: outcomes } = rhea as unknown as { readonly message: Outcomes };

export const decode = (bytes: Buffer): Content => outcomes.decode(bytes);
export const encode = (content: object): Buffer => outcomes.encode(content);

interface Types {
  wrap_long(value: number | Buffer): Typed;
  wrap_int(value: number): Typed;
  wrap_uuid(value: Buffer): Typed;
  wrap_timestamp(value: number): Typed;
  wrap_array(values: readonly unknown[], typecode: number, descriptor?: undefined): Typed;
  wrap_described(value: unknown, descriptor: number): Typed;
  wrap_string(value: string): Typed;
}

const typed = rhea as unknown as { readonly types: Types };
export const types: Types = typed.types;

/** Type codes of the elements of an array. */
export const longArray = 0x81;
export const timestampArray = 0x83;

/** Outcomes that rhea has yet to write. */
type PendingOutcomes = { readonly id: number }[];

interface Outgoing {
  readonly next_delivery_id: number;
  readonly next_pending_delivery: number;
  readonly pending_dispositions: PendingOutcomes;
  available(): number;
}

interface LinkInside {
  local: {
    attach: {
      max_message_size?: number;
      snd_settle_mode?: number;
      rcv_settle_mode?: number;
      properties?: Readonly<Record<string, unknown>>;
    };
  };
  remote: { attach: { source: Source | null; target: TerminusOptions | null } };
  state: { local_open: boolean; open_requests: number };
  session: Session & { outgoing: Outgoing; incoming: { updated: PendingOutcomes } };
  credit: number;
  delivery_count: number;
  issue_flow: boolean;
  _draining: boolean;
  _get_drain: () => boolean;
}

interface ConnectionInside {
  _register(): void;
  _disconnected(): void;
  socket: { destroy?(): void; end(): void };
}

/** The parts of a link that rhea keeps to itself. */
export function inside(link: Sender | Receiver): LinkInside {
  return link as unknown as LinkInside;
}

function insideConnection(connection: Connection): ConnectionInside {
  return connection as unknown as ConnectionInside;
}

/** Cuts the connection without a word. rhea does not see by itself that its own side is destroyed. */
export function cut(connection: Connection): void {
  const { socket } = insideConnection(connection);
  // That of a WebSocket only ends.
  if (socket.destroy === undefined) socket.end();
  else socket.destroy();
  insideConnection(connection)._disconnected();
}

/** What a link still may send: its credit, less what waits to be written, within the room that rhea has for deliveries. */
export function creditOf(sender: Sender): number {
  return Math.min(unusedCredit(sender), inside(sender).session.outgoing.available());
}

/** `credit` sinks only as rhea writes. */
function unusedCredit(sender: Sender): number {
  const { credit, session } = inside(sender);
  return credit - (session.outgoing.next_delivery_id - session.outgoing.next_pending_delivery);
}

/**
 * Answers a flow with `drain`. rhea leaves the flag out where no credit is left, and a client that waits for it gives
 * the link up.
 */
export function prepareDrain(sender: Sender): void {
  const link = inside(sender);
  link._get_drain = () => {
    if (!link._draining) {
      return false;
    }
    const unused = Math.max(0, unusedCredit(sender));
    link.delivery_count += unused;
    link.credit -= unused;
    link._draining = false;
    return true;
  };
}

/** Has the attach that answers name what the client's named. */
export function mirror(link: Receiver | Sender): void {
  const { source, target } = inside(link).remote.attach;
  if (source !== null) {
    link.set_source(source);
  }
  if (target !== null) {
    link.set_target(target);
  }
}

/** Tells the client that nothing comes any more for the credit it gave. */
export function answerDrain(sender: Sender): void {
  inside(sender).issue_flow = true;
  insideConnection(sender.connection)._register();
}

/** Takes back the attach that rhea is about to answer; `sender.open()` answers it. */
export function holdAttach(sender: Sender): void {
  const { state } = inside(sender);
  state.local_open = false;
  state.open_requests = 0;
}

/** Refuses a link as AMQP does it: by an attach that leads nowhere, and a detach. */
export function refuseAttach(link: Receiver | Sender, { condition, description }: AmqpProblem): void {
  if (link.is_sender()) {
    link.set_source(undefined as never);
  } else {
    link.set_target(undefined as never);
  }
  link.open();
  link.close({ condition, description });
}

export function accept(delivery: Delivery): void {
  settle(delivery, outcomes.accepted());
}

export function reject(delivery: Delivery, error: AmqpProblem): void {
  settle(delivery, outcomes.rejected({ error }));
  withRefusals.add(pendingOutcomes(delivery));
  keepApart(pendingOutcomes(delivery));
}

/** Settles on both sides: rhea keeps a delivery until then, and a link stalls at 2,048 of them. */
function settle(delivery: Delivery, outcome: Described): void {
  delivery.update(true, outcome.described());
  (delivery as { remote_settled: boolean }).remote_settled = true;
  if (withRefusals.has(pendingOutcomes(delivery))) {
    keepApart(pendingOutcomes(delivery));
  }
}

const withRefusals = new WeakSet<PendingOutcomes>();

/** rhea writes a run of deliveries as one outcome, of which it does not look at the first two. Backwards there are no runs. */
function keepApart(pending: PendingOutcomes): void {
  pending.sort((left, right) => right.id - left.id);
}

function pendingOutcomes({ link }: Delivery): PendingOutcomes {
  const { outgoing, incoming } = inside(link).session;
  return link.is_sender() ? outgoing.pending_dispositions : incoming.updated;
}

/** Sends what needs no answer, such as a response. */
export function sendSettled(sender: Sender, content: object): void {
  const delivery = sender.send(encode(content), undefined, 0);
  (delivery as { settled: boolean }).settled = true;
}
