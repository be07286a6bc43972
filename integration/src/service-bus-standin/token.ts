import { createHmac, timingSafeEqual } from 'node:crypto';

import { unauthorized } from './problem.ts';

export type Claim = 'Listen' | 'Manage' | 'Send';

/** A shared access policy of the namespace. */
export interface Policy {
  readonly name: string;
  readonly key: string;
  /** Manage includes the others. */
  readonly claims: readonly Claim[];
}

/** A token of an identity provider, taken as it is. */
export interface BearerToken {
  readonly token: string;
  readonly claims: readonly Claim[];
}

export interface Access {
  readonly policies: readonly Policy[];
  readonly bearerTokens: readonly BearerToken[];
}

/** What a token allows: claims on everything below a path. */
export interface Grant {
  readonly claims: readonly Claim[];
  /** In lower case; empty for the namespace. */
  readonly scope: string;
  /** In milliseconds. */
  readonly expiresAt: number;
}

/** Throws an `amqp:unauthorized-access` for a token that does not hold. */
export function verify(access: Access, token: string): Grant {
  const bearer = access.bearerTokens.find((candidate) => candidate.token === token);
  if (bearer !== undefined) {
    return { claims: bearer.claims, scope: '', expiresAt: Infinity };
  }
  return verifySignature(access, token);
}

function verifySignature({ policies }: Access, token: string): Grant {
  const [, fields] = /^SharedAccessSignature (.+)$/.exec(token) ?? [];
  if (fields === undefined) {
    throw unauthorized('InvalidToken: The token is malformed or of an unknown issuer.');
  }
  const parts = new Map(fields.split('&').map((part) => splitAt(part, part.indexOf('='))));
  const resource = parts.get('sr') ?? '';
  const expiry = parts.get('se') ?? '';
  const policy = policies.find(({ name }) => name === decodeURIComponent(parts.get('skn') ?? ''));
  const signature = decodeURIComponent(parts.get('sig') ?? '');
  if (policy === undefined || !isSame(signature, sign(policy.key, `${resource}\n${expiry}`))) {
    throw unauthorized('InvalidSignature: The token has an invalid signature.');
  }
  const expiresAt = Number(expiry) * 1000;
  if (!(expiresAt > Date.now())) {
    throw unauthorized(`ExpiredToken: The token is expired. Expiration time: '${new Date(expiresAt).toISOString()}'.`);
  }
  return { claims: policy.claims, scope: pathOf(decodeURIComponent(resource)), expiresAt };
}

/** Whether grants allow something on an entity. */
export function allows(grants: Iterable<Grant>, claim: Claim, path: string): boolean {
  const wanted = path.toLowerCase();
  for (const { claims, scope, expiresAt } of grants) {
    const isInside = scope === '' || wanted === scope || wanted.startsWith(`${scope}/`);
    if (isInside && expiresAt > Date.now() && (claims.includes(claim) || claims.includes('Manage'))) {
      return true;
    }
  }
  return false;
}

/** Of an audience, a URL or a path alone: what follows the host, without a query, in lower case. */
export function pathOf(audience: string): string {
  const path = audience.replace(/^[a-z]+:\/\/[^/]*/i, '').replace(/\?.*$/, '');
  return path.replaceAll(/^\/+|\/+$/g, '').toLowerCase();
}

function sign(key: string, text: string): string {
  return createHmac('sha256', key).update(text, 'utf8').digest('base64');
}

function isSame(left: string, right: string): boolean {
  const [first, second] = [Buffer.from(left), Buffer.from(right)];
  return first.length === second.length && timingSafeEqual(first, second);
}

function splitAt(text: string, at: number): [string, string] {
  return [text.slice(0, at), text.slice(at + 1)];
}
