import type { StandardSchemaV1 } from '@standard-schema/spec';
import { checkName } from '../driver/names.ts';
import { WaybillError } from '../driver/errors.ts';
import type { CommandContract, EventContract, VersionStep } from './contract.ts';

type KeyOf<Schema extends StandardSchemaV1> = (data: StandardSchemaV1.InferOutput<Schema>) => string;
type Upcast<Older extends StandardSchemaV1, Newer extends StandardSchemaV1> = (
  older: StandardSchemaV1.InferOutput<Older>,
) => StandardSchemaV1.InferInput<Newer>;

/** An event that can still grow: a further version, a key. */
export interface EventDefinition<Type extends string, Schema extends StandardSchemaV1> extends EventContract<
  Type,
  Schema
> {
  readonly keyed: false;
  /** Adds the next version. `upcast` turns validated data of the version before into input of this one. */
  evolve<Newer extends StandardSchemaV1>(schema: Newer, upcast: Upcast<Schema, Newer>): EventDefinition<Type, Newer>;
  /** Messages of one key are handled one after the other where a queue is ordered. Ends the definition. */
  keyedBy(keyOf: KeyOf<Schema>): EventContract<Type, Schema> & { readonly keyed: true };
}

/** A command that can still grow: a further version, a key. */
export interface CommandDefinition<Type extends string, Schema extends StandardSchemaV1> extends CommandContract<
  Type,
  Schema
> {
  readonly keyed: false;
  /** Adds the next version. `upcast` turns validated data of the version before into input of this one. */
  evolve<Newer extends StandardSchemaV1>(schema: Newer, upcast: Upcast<Schema, Newer>): CommandDefinition<Type, Newer>;
  /** Messages of one key are handled one after the other where a queue is ordered. Ends the definition. */
  keyedBy(keyOf: KeyOf<Schema>): CommandContract<Type, Schema> & { readonly keyed: true };
}

const TYPE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$/;

/** Defines an event, version 1, published to `options.topic`. Throws INVALID_ARGUMENT for what could not work. */
export function defineEvent<const Type extends string, Schema extends StandardSchemaV1>(
  type: Type,
  schema: Schema,
  options: { readonly topic: string },
): EventDefinition<Type, Schema> {
  checkType(type);
  const topic = checkName('topic', options?.topic);
  return eventDefinition(type, schema, [firstStep(type, schema)], topic);
}

/** Defines a command, version 1. It is sent to the one queue whose `handles` lists it. Throws INVALID_ARGUMENT. */
export function defineCommand<const Type extends string, Schema extends StandardSchemaV1>(
  type: Type,
  schema: Schema,
): CommandDefinition<Type, Schema> {
  checkType(type);
  return commandDefinition(type, schema, [firstStep(type, schema)]);
}

function eventDefinition<Type extends string, Schema extends StandardSchemaV1>(
  type: Type,
  schema: Schema,
  versions: readonly VersionStep[],
  topic: string,
): EventDefinition<Type, Schema> {
  const contract = { kind: 'event', type, schema, topic, versions, version: versions.length } as const;
  return Object.freeze({
    ...contract,
    keyed: false,
    evolve: <Newer extends StandardSchemaV1>(newer: Newer, upcast: Upcast<Schema, Newer>) =>
      eventDefinition(type, newer, nextVersions(type, versions, newer, upcast), topic),
    keyedBy: (keyOf: KeyOf<Schema>) => Object.freeze({ ...contract, keyed: true, keyOf: checkKeyOf(type, keyOf) }),
  } as const);
}

function commandDefinition<Type extends string, Schema extends StandardSchemaV1>(
  type: Type,
  schema: Schema,
  versions: readonly VersionStep[],
): CommandDefinition<Type, Schema> {
  const contract = { kind: 'command', type, schema, versions, version: versions.length } as const;
  return Object.freeze({
    ...contract,
    keyed: false,
    evolve: <Newer extends StandardSchemaV1>(newer: Newer, upcast: Upcast<Schema, Newer>) =>
      commandDefinition(type, newer, nextVersions(type, versions, newer, upcast)),
    keyedBy: (keyOf: KeyOf<Schema>) => Object.freeze({ ...contract, keyed: true, keyOf: checkKeyOf(type, keyOf) }),
  } as const);
}

function firstStep(type: string, schema: StandardSchemaV1): VersionStep {
  checkSchema(type, schema);
  return { schema };
}

function nextVersions<Older extends StandardSchemaV1, Newer extends StandardSchemaV1>(
  type: string,
  versions: readonly VersionStep[],
  schema: Newer,
  upcast: Upcast<Older, Newer>,
): readonly VersionStep[] {
  checkSchema(type, schema);
  if (typeof upcast !== 'function') {
    throw new WaybillError('INVALID_ARGUMENT', `"${type}" version ${versions.length + 1} has no upcast function.`);
  }
  return [...versions, { schema, upcast }];
}

function checkType(type: string): void {
  if (typeof type === 'string' && TYPE.test(type)) return;
  throw new WaybillError(
    'INVALID_ARGUMENT',
    `The message type "${type}" may have 1 to 120 letters, digits, ".", "_" and "-", and starts with a letter or digit.`,
  );
}

// Some schema libraries make schemas that are functions.
function checkSchema(type: string, schema: StandardSchemaV1): void {
  if (schema !== null && schema !== undefined && typeof schema['~standard']?.validate === 'function') return;
  throw new WaybillError(
    'INVALID_ARGUMENT',
    `The schema of "${type}" is not a Standard Schema (zod, valibot, arktype, …).`,
  );
}

function checkKeyOf<KeyFunction>(type: string, keyOf: KeyFunction): KeyFunction {
  if (typeof keyOf === 'function') return keyOf;
  throw new WaybillError('INVALID_ARGUMENT', `keyedBy of "${type}" takes a function from the data to its key.`);
}
