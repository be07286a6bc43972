import type { StandardSchemaV1 } from '@standard-schema/spec';

/** One version of a message type: its schema, and how data of the version before becomes its input. */
export interface VersionStep {
  readonly schema: StandardSchemaV1;
  upcast?(older: unknown): unknown;
}

/** The definition of a message type: what {@link defineEvent} and {@link defineCommand} return. */
export interface Contract<Type extends string = string, Schema extends StandardSchemaV1 = StandardSchemaV1> {
  readonly kind: 'event' | 'command';
  readonly type: Type;
  /** The latest version, from 1. */
  readonly version: number;
  /** Schema of the latest version. Its input is what is published and travels; its output is what handlers get. */
  readonly schema: Schema;
  /** Oldest first; index 0 is version 1. */
  readonly versions: readonly VersionStep[];
  readonly keyed: boolean;
  /** The ordering key of a message, from its validated data. Present exactly when `keyed`. */
  keyOf?(data: StandardSchemaV1.InferOutput<Schema>): string;
}

/** A fact that happened: published to a topic, every bound queue gets its own copy. */
export interface EventContract<
  Type extends string = string,
  Schema extends StandardSchemaV1 = StandardSchemaV1,
> extends Contract<Type, Schema> {
  readonly kind: 'event';
  readonly topic: string;
}

/** Something to do: sent to the one queue that handles it. */
export interface CommandContract<
  Type extends string = string,
  Schema extends StandardSchemaV1 = StandardSchemaV1,
> extends Contract<Type, Schema> {
  readonly kind: 'command';
}

/** What ordered queues take. */
export interface KeyedContract extends Contract {
  readonly keyed: true;
}

/** What `publish` and `send` take: the input of the latest version's schema. */
export type InputOf<C extends Contract> = StandardSchemaV1.InferInput<C['schema']>;

/** What a handler gets: the output of the latest version's schema. */
export type OutputOf<C extends Contract> = StandardSchemaV1.InferOutput<C['schema']>;
