import { createHash, randomFillSync } from 'node:crypto';

const POOL = new Uint8Array(4096);
const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
/** Namespace of our name-based ids, a random UUID. */
const NAMESPACE = Buffer.from('c6f0c3a2f2b54f0e9d1b7a4e5f6a8d13', 'hex');

let poolOffset = POOL.length;
let lastMs = 0;
let counter = 0;

/** A UUIDv7 (RFC 9562): ids of one process sort in the order they were made, also within a millisecond. */
export function uuidv7(epochMs: number = Date.now()): string {
  const now = Math.floor(epochMs);
  if (poolOffset > POOL.length - 8) {
    randomFillSync(POOL);
    poolOffset = 0;
  }
  const random = POOL.subarray(poolOffset, poolOffset + 8);
  poolOffset += 8;
  if (now > lastMs) {
    lastMs = now;
    counter = ((byteOf(random, 6) << 8) | byteOf(random, 7)) & 0x7ff;
  } else {
    counter += 1;
    // The 12 bits after the version are a counter; when they are used up, the next millisecond is borrowed.
    if (counter > 0xfff) {
      lastMs += 1;
      counter = 0;
    }
  }
  const high = Math.floor(lastMs / 0x1_0000);
  const low = lastMs & 0xffff;
  return `${hex((high >>> 24) & 255)}${hex((high >>> 16) & 255)}${hex((high >>> 8) & 255)}${hex(high & 255)}-${hex(low >>> 8)}${hex(low & 255)}-${hex(0x70 | (counter >>> 8))}${hex(counter & 255)}-${hex(0x80 | (byteOf(random, 0) & 0x3f))}${hexOf(random, 1)}-${hexOf(random, 2)}${hexOf(random, 3)}${hexOf(random, 4)}${hexOf(random, 5)}${hexOf(random, 6)}${hexOf(random, 7)}`;
}

/** A UUIDv5: the same parts give the same id, on every machine. */
export function uuidv5(...parts: readonly string[]): string {
  const hash = createHash('sha1').update(NAMESPACE).update(parts.join('\0')).digest();
  hash[6] = (byteOf(hash, 6) & 0x0f) | 0x50;
  hash[8] = (byteOf(hash, 8) & 0x3f) | 0x80;
  const text = hash.toString('hex', 0, 16);
  return `${text.slice(0, 8)}-${text.slice(8, 12)}-${text.slice(12, 16)}-${text.slice(16, 20)}-${text.slice(20)}`;
}

function byteOf(bytes: Uint8Array, index: number): number {
  return bytes[index] as number;
}

function hex(byte: number): string {
  return HEX[byte] as string;
}

function hexOf(bytes: Uint8Array, index: number): string {
  return hex(byteOf(bytes, index));
}
