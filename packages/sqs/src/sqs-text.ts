import { isUtf8 } from 'node:buffer';

/** What SQS refuses in a body or an attribute: https://www.w3.org/TR/REC-xml/#charsets */
const ILLEGAL = /[^\t\n\r -\uFFFD]/;
const LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;
/** Signs of the packing, too. */
const TO_ESCAPE = new RegExp(`[%&=]|${ILLEGAL.source}|${LONE_SURROGATE.source}`, 'g');

/** Whether SQS carries this string as it is. */
export function isLegal(text: string): boolean {
  return !ILLEGAL.test(text) && !LONE_SURROGATE.test(text);
}

/** Before the name of what is packed and is no header, such as a content type that SQS would refuse. */
export const SAID = ':';

export interface EncodedBody {
  readonly text: string;
  /** How the text stands for the body; undefined: it is the body. */
  readonly encoding: 'base64' | 'empty' | undefined;
}

/** SQS takes no empty body and no bytes: what is no legal text travels as base64. */
export function encodeBody(body: Uint8Array): EncodedBody {
  if (body.byteLength === 0) return { text: '-', encoding: 'empty' };
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (isUtf8(bytes)) {
    const text = bytes.toString('utf8');
    if (!ILLEGAL.test(text)) return { text, encoding: undefined };
  }
  return { text: bytes.toString('base64'), encoding: 'base64' };
}

export function decodeBody(text: string, encoding: string | undefined): Uint8Array {
  if (encoding === 'empty') return Buffer.alloc(0);
  return Buffer.from(text, encoding === 'base64' ? 'base64' : 'utf8');
}

/** `name=value&…`; only what would not come back has an escape. */
export function packHeaders(headers: readonly (readonly [string, string])[]): string {
  return headers.map(([name, value]) => `${escaped(name)}=${escaped(value)}`).join('&');
}

export function unpackHeaders(packed: string): (readonly [string, string])[] {
  if (packed === '') return [];
  return packed.split('&').map((pair) => {
    const end = pair.indexOf('=');
    return end < 0 ? [unescaped(pair), ''] : [unescaped(pair.slice(0, end)), unescaped(pair.slice(end + 1))];
  });
}

function escaped(text: string): string {
  return text.replaceAll(TO_ESCAPE, (found) => `%${found.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function unescaped(text: string): string {
  if (!text.includes('%')) return text;
  return text.replaceAll(/%([0-9a-f]{4})/g, (_, unit: string) => String.fromCharCode(Number.parseInt(unit, 16)));
}
