import { WaybillError } from './errors.ts';

const SEGMENT = /^[a-z0-9-]+$/;
/** Adapters name their own entities with these. */
const RESERVED = /^(dead|delay|p\d+)$/;
const LONGEST = { queue: 50, topic: 200, prefix: 40 } as const;

/** The dead lane's entity, on brokers where it is one: `billing.dead`. */
export function deadName(queue: string): string {
  return `${queue}.dead`;
}

/** `billing` with prefix `staging` is `staging.billing`. */
export function physicalName(prefix: string, name: string): string {
  return prefix === '' ? name : `${prefix}.${name}`;
}

/** Returns `name`, or throws INVALID_ARGUMENT saying which rule of names it breaks. */
export function checkName(kind: keyof typeof LONGEST, name: string): string {
  const say = (problem: string): never => {
    throw new WaybillError('INVALID_ARGUMENT', `The ${kind} name "${name}" ${problem}.`);
  };
  if (typeof name !== 'string' || name === '') say('is empty');
  if (name.length > LONGEST[kind]) say(`is longer than ${LONGEST[kind]} characters`);
  const segments = name.split('.');
  if (!segments.every((segment) => SEGMENT.test(segment))) {
    say('may only have segments of a-z, 0-9 and "-", joined by "."');
  }
  if (segments[0] === 'waybill') say('starts with "waybill.", which is reserved');
  const reserved = segments.slice(1).find((segment) => RESERVED.test(segment));
  if (reserved === segments.at(-1) && segments.length > 1) say(`ends with ".${reserved}", which is reserved`);
  if (reserved !== undefined) say(`has the part ".${reserved}", which is reserved`);
  return name;
}
