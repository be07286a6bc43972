import type { Contract } from '../contract/contract.ts';
import { type Awaitable, chain, validate } from '../contract/validate.ts';
import type { Clock } from '../driver/clock.ts';
import type { Driver, OutgoingMessage, Target } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import { physicalName } from '../driver/names.ts';
import { RESERVED_ATTRIBUTES } from '../envelope/decode.ts';
import { type Encoded, encodeBinary, encodeStructured } from '../envelope/encode.ts';
import type { Message, Metadata } from '../envelope/envelope.ts';
import { uuidv7 } from '../envelope/ids.ts';
import { BOOKKEEPING_HEADER, writeBookkeeping } from '../failure/bookkeeping.ts';
import { COPY_ID, PLAIN_ID } from '../failure/copies.ts';
import { sizeOf } from './entry.ts';
import type { Codec } from './middleware.ts';

export interface PublishOptions {
  /** 1 to 96 printable ASCII characters without spaces. @default a UUIDv7 */
  readonly id?: string;
  /** @default that of the message being handled, else the id */
  readonly correlationId?: string;
  /** @default the id of the message being handled */
  readonly causationId?: string;
  readonly sequence?: string;
  /** W3C trace context of the publisher; the handler's span links to it. */
  readonly traceparent?: string;
  readonly tracestate?: string;
  /** Further CloudEvents attributes: names of a-z and 0-9. */
  readonly extensions?: Readonly<Record<string, string | number | boolean>>;
}

export interface SendOptions extends PublishOptions {
  /** Not handled before that many ms have passed. @default 0 */
  readonly delayMs?: number;
}

export interface PrepareRequest {
  readonly contract: Contract;
  /** Absent: the event's topic. */
  readonly queue?: string | undefined;
  readonly data: unknown;
  readonly options?: SendOptions | undefined;
  /** The message being handled, and the id that this one gets unless `options` has one. */
  readonly origin?: { readonly id: string; readonly metadata: Metadata };
}

export interface PrepareOptions {
  readonly source: string;
  readonly prefix: string;
  readonly clock: Clock;
  readonly driver: Pick<Driver, 'name' | 'capabilities'>;
  readonly codec: Codec | undefined;
}

/** Kept free in every message, so that a dead letter with its bookkeeping always fits. */
const BOOKKEEPING_ROOM = 8 * 1024;
const EXTENSION = /^[a-z0-9]{1,40}$/;
const LONGEST_KEY = 128;

/** Turns contracts and data into wire form. */
export class Preparer {
  readonly #options: PrepareOptions;
  readonly #encode: (message: Message) => Encoded;
  #timeMs = Number.NaN;
  #time = '';

  constructor(options: PrepareOptions) {
    this.#options = options;
    this.#encode = options.driver.capabilities.envelope === 'binary' ? encodeBinary : encodeStructured;
  }

  /** Throws, or rejects with, INVALID_MESSAGE, INVALID_ARGUMENT, UNSUPPORTED or TOO_LARGE. */
  prepare(request: PrepareRequest): Awaitable<OutgoingMessage> {
    const { contract, data, options = {} } = request;
    checkOptions(options);
    this.#checkDelay(options);
    return chain(validate(contract, contract.version, data), (validated) => {
      const metadata = this.#metadata(request, options, contract.keyed ? keyOf(contract, validated) : undefined);
      const encoded = encodeOrRefuse(this.#encode, { type: contract.type, data, metadata });
      const { codec } = this.#options;
      if (codec === undefined) return this.#outgoing(request, metadata, encoded);
      return chain(codec.encode(encoded.body, encoded.headers), (body) =>
        this.#outgoing(request, metadata, { ...encoded, body }),
      );
    });
  }

  #metadata({ contract, origin }: PrepareRequest, options: SendOptions, key: string | undefined): Metadata {
    const id = options.id ?? origin?.id ?? uuidv7(this.#options.clock.now());
    const { sequence, traceparent, tracestate, extensions } = options;
    const causationId = options.causationId ?? origin?.metadata.id;
    return {
      id,
      source: this.#options.source,
      time: this.#now(),
      version: contract.version,
      correlationId: options.correlationId ?? origin?.metadata.correlationId ?? id,
      ...(causationId === undefined ? undefined : { causationId }),
      ...(key === undefined ? undefined : { key }),
      ...(sequence === undefined ? undefined : { sequence }),
      ...(traceparent === undefined ? undefined : { traceparent }),
      ...(tracestate === undefined ? undefined : { tracestate }),
      ...(extensions === undefined ? undefined : { extensions }),
    };
  }

  #outgoing({ contract, queue, options }: PrepareRequest, metadata: Metadata, encoded: Encoded): OutgoingMessage {
    const delayMs = options?.delayMs ?? 0;
    const message: OutgoingMessage = {
      target: this.#target(contract, queue),
      id: metadata.id,
      type: contract.type,
      contentType: encoded.contentType,
      body: encoded.body,
      headers: encoded.headers,
      ...(metadata.key === undefined ? undefined : { key: metadata.key }),
      ...(queue === undefined ? undefined : this.#toQueue(queue, encoded, delayMs)),
    };
    const most = this.#options.driver.capabilities.maxMessageBytes - BOOKKEEPING_ROOM;
    const size = sizeOf(message);
    if (size <= most) return message;
    const sizes = `"${contract.type}" has ${size} bytes on the wire; this broker takes ${most}.`;
    throw new WaybillError('TOO_LARGE', `${sizes} Store the data elsewhere and send a reference.`);
  }

  #target(contract: Contract, queue: string | undefined): Target {
    const { prefix } = this.#options;
    if (queue !== undefined) return { queue: physicalName(prefix, queue), lane: 'work' };
    return { topic: physicalName(prefix, 'topic' in contract ? String(contract.topic) : '') };
  }

  #toQueue(queue: string, encoded: Encoded, delayMs: number): Partial<OutgoingMessage> {
    const { clock } = this.#options;
    const { capabilities } = this.#options.driver;
    const now = clock.now();
    const oneHop = delayMs <= capabilities.maxDelayMs;
    const notBefore = oneHop ? now + delayMs : now + capabilities.maxDelayMs;
    // One hop needs no time in the message, and so sees no difference between clocks. Where the broker does not filter,
    // the header says that the message is the queue's own: an older process must not take it for an unbound type.
    const marked = !oneHop || !capabilities.filtersTypes;
    const bookkeeping = { attempt: 1, queue, ...(oneHop ? undefined : { notBefore: now + delayMs }) };
    return {
      ...(delayMs === 0 ? undefined : { notBefore }),
      ...(marked
        ? { headers: { ...encoded.headers, [BOOKKEEPING_HEADER]: writeBookkeeping(bookkeeping) } }
        : undefined),
    };
  }

  #checkDelay({ delayMs = 0 }: SendOptions): void {
    const { name, capabilities } = this.#options.driver;
    if (delayMs === 0 || capabilities.maxDelayMs > 0) return;
    throw new WaybillError(
      'UNSUPPORTED',
      `${name} cannot delay, so nothing can be sent with delayMs: drop it, or choose a broker that can.`,
    );
  }

  #now(): string {
    const now = this.#options.clock.now();
    if (now !== this.#timeMs) {
      this.#timeMs = now;
      this.#time = new Date(now).toISOString();
    }
    return this.#time;
  }
}

function encodeOrRefuse(encode: (message: Message) => Encoded, message: Message): Encoded {
  try {
    return encode(message);
  } catch (cause) {
    if (WaybillError.is(cause)) throw cause;
    throw new WaybillError('INVALID_MESSAGE', `"${message.type}" has data that JSON cannot carry.`, { cause });
  }
}

function isExtension(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value);
}

function keyOf(contract: Contract, data: unknown): string {
  let key: unknown;
  try {
    key = contract.keyOf?.(data);
  } catch (cause) {
    throw new WaybillError('INVALID_MESSAGE', `keyedBy of "${contract.type}" threw.`, { cause });
  }
  if (typeof key === 'string' && key !== '' && key.length <= LONGEST_KEY) return key;
  throw new WaybillError(
    'INVALID_MESSAGE',
    `The key of "${contract.type}" must be text of 1 to ${LONGEST_KEY} characters.`,
  );
}

function checkOptions(options: SendOptions): void {
  if (options.id !== undefined && !PLAIN_ID.test(options.id)) {
    throw new WaybillError(
      'INVALID_ARGUMENT',
      `The id "${options.id}" is not 1 to 96 printable ASCII characters without spaces.`,
    );
  }
  if (options.id !== undefined && COPY_ID.test(options.id)) {
    throw new WaybillError(
      'INVALID_ARGUMENT',
      `The id "${options.id}" ends as the id of a copy does: leave the "#" out.`,
    );
  }
  const { delayMs, extensions } = options;
  if (delayMs !== undefined && !(Number.isFinite(delayMs) && delayMs >= 0)) {
    throw new WaybillError('INVALID_ARGUMENT', `delayMs is ${delayMs}: give a number of ms from 0.`);
  }
  if (extensions === undefined) return;
  for (const [name, value] of Object.entries(extensions)) {
    if (!EXTENSION.test(name) || RESERVED_ATTRIBUTES.has(name)) {
      const problem = `is no name of a-z and 0-9, or is one of Waybill's own`;
      throw new WaybillError('INVALID_ARGUMENT', `The extension "${name}" ${problem}.`);
    }
    if (isExtension(value)) continue;
    throw new WaybillError('INVALID_ARGUMENT', `The extension "${name}" is neither text, a number nor a boolean.`);
  }
}
