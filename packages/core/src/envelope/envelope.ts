/** What every message carries beside its data. */
export interface Metadata {
  /** 1 to 96 printable ASCII characters; equal in every copy of the message. */
  readonly id: string;
  /** Who made it: a URI reference such as `/order-service`. */
  readonly source: string;
  /** When it was made, RFC 3339. */
  readonly time: string;
  readonly version: number;
  /** Equal in everything that follows from one first message; that message's own id unless given. */
  readonly correlationId: string;
  /** The id of the message whose handler made this one. */
  readonly causationId?: string;
  readonly key?: string;
  /** Sorts as text. */
  readonly sequence?: string;
  readonly traceparent?: string;
  readonly tracestate?: string;
  /** Other CloudEvents attributes, as they came or as `publish` was given. */
  readonly extensions?: Readonly<Record<string, string | number | boolean>>;
}

/** A message as an application sees it. */
export interface Message {
  readonly type: string;
  readonly data: unknown;
  readonly metadata: Metadata;
  /** Not written by Waybill: its id is unique for its source only. */
  readonly foreign?: true;
}
