import type { StandardSchemaV1 } from '@standard-schema/spec';
import { WaybillError } from '../driver/errors.ts';
import type { Contract } from './contract.ts';

/** A value now, or later where a schema or a codec is asynchronous: the usual case pays for no promise. */
export type Awaitable<T> = T | PromiseLike<T>;

export function isPromise<T>(value: Awaitable<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

/** All of them, once the last is there. */
export async function allOf<T>(values: readonly Awaitable<T>[]): Promise<readonly T[]> {
  const settled: T[] = [];
  for (const value of values) settled.push(await value);
  return settled;
}

/** Applies `next` to a value that may still be on its way. */
export function chain<T, R>(value: Awaitable<T>, next: (value: T) => Awaitable<R>): Awaitable<R> {
  return isPromise(value) ? value.then(next) : next(value);
}

/** Validated data of one version. Throws, or rejects with, INVALID_MESSAGE that lists every issue. */
export function validate(contract: Contract, version: number, data: unknown): Awaitable<unknown> {
  const known = contract.versions[version - 1];
  if (known === undefined) throw unknownVersion(contract, version);
  const threw = (cause: unknown): never => {
    throw new WaybillError('INVALID_MESSAGE', `The schema of "${contract.type}" version ${version} threw.`, { cause });
  };
  let result: Awaitable<StandardSchemaV1.Result<unknown>>;
  try {
    result = known.schema['~standard'].validate(data);
  } catch (cause) {
    return threw(cause);
  }
  if (!isPromise(result)) return unwrap(contract, version, result);
  return Promise.resolve(result).then((settled) => unwrap(contract, version, settled), threw);
}

/**
 * Data of any known version as validated data of the latest: each version's schema, then its upcast, step by step.
 * Throws, or rejects with, UNKNOWN_VERSION for a newer version and INVALID_MESSAGE for data that does not fit.
 */
export function upcast(contract: Contract, version: number, data: unknown): Awaitable<unknown> {
  if (!Number.isInteger(version) || version < 1) {
    throw new WaybillError('INVALID_MESSAGE', `"${contract.type}" has version ${version}, which is no version.`);
  }
  if (version > contract.version) throw unknownVersion(contract, version);
  const validated = validate(contract, version, data);
  if (version === contract.version) return validated;
  return chain(validated, (value) => upcast(contract, version + 1, step(contract, version, value)));
}

function step(contract: Contract, version: number, value: unknown): unknown {
  try {
    return contract.versions[version]?.upcast?.(value);
  } catch (cause) {
    throw new WaybillError('INVALID_MESSAGE', `The upcast of "${contract.type}" from version ${version} threw.`, {
      cause,
    });
  }
}

function unknownVersion(contract: Contract, version: number): WaybillError {
  const known = `this process knows versions 1 to ${contract.version}`;
  return new WaybillError(
    'UNKNOWN_VERSION',
    `"${contract.type}" has version ${version}, ${known}: deploy consumers first.`,
  );
}

function unwrap(contract: Contract, version: number, result: StandardSchemaV1.Result<unknown>): unknown {
  if (result.issues === undefined) return result.value;
  const issues = result.issues.map((issue) => `${pathOf(issue)}${issue.message}`).join('; ');
  throw new WaybillError(
    'INVALID_MESSAGE',
    `"${contract.type}" version ${version} does not fit its schema: ${issues}`,
    {
      cause: result.issues,
    },
  );
}

function pathOf(issue: StandardSchemaV1.Issue): string {
  if (issue.path === undefined || issue.path.length === 0) return '';
  return `${issue.path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.')}: `;
}
