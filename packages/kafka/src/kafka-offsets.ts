/** What a group commits for a partition: an offset, and in its metadata what is finished beyond it and who had it. */
export interface Progress {
  /** Everything before it is finished. */
  readonly offset: number;
  /** Names the process that wrote it. */
  readonly owner: string;
  /** Not finished below {@link end}, in order. */
  readonly holes: readonly number[];
  /** Behind the last finished one; {@link offset} where nothing beyond it is finished. */
  readonly end: number;
  /** So many are handed out and not finished; while the process that wrote it lives. */
  readonly held: number;
  /** How often what begins there was handed out by processes that died, up to `end` of the entry, in order. */
  readonly charges: readonly Charge[];
}

export interface Charge {
  /** The first offset that it is not for. */
  readonly end: number;
  readonly count: number;
}

/** Brokers take 4,096 bytes (`offset.metadata.max.bytes`). */
const MOST_BYTES = 3_900;
const FORMAT = 'w1';
const MOST_CHARGES = 128;

/** As text. What does not fit is left out from the end: those are handed out again. */
export function writeProgress({ offset, owner, holes, end, held, charges }: Progress): string {
  const charged = fewer(charges)
    .map(
      (charge, index) =>
        `${(charge.end - (charges[index - 1]?.end ?? offset)).toString(36)}.${charge.count.toString(36)}`,
    )
    .join('_');
  const room = MOST_BYTES - FORMAT.length - owner.length - charged.length - 20;
  const { bytes, fitted } = packHoles(offset, holes, Math.floor((room * 3) / 4));
  const written = fitted === holes.length ? end : (holes[fitted] as number);
  const numbers = [written - offset, held].map((number) => number.toString(36));
  return [FORMAT, owner, charged, ...numbers, bytes.toString('base64')].join(';');
}

/** Runs of equal counts, joined until they fit: rather one hand-out too many than one too few. */
function fewer(charges: readonly Charge[]): readonly Charge[] {
  let joined = charges;
  while (joined.length > MOST_CHARGES) {
    joined = joined.flatMap((charge, index, all) => {
      const next = all[index + 1];
      if (index % 2 === 1) return [];
      return next === undefined ? [charge] : [{ end: next.end, count: Math.max(charge.count, next.count) }];
    });
  }
  return joined;
}

/** What an other program committed, or nothing, says of nothing beyond the offset. */
export function readProgress(offset: number, metadata: string): Progress {
  const nothing = { offset, owner: '', holes: [], end: offset, held: 0, charges: [] };
  const [format, owner = '', charged = '', span = '', taken = '', packed = ''] = metadata.split(';');
  if (format !== FORMAT) return nothing;
  const end = offset + Number.parseInt(span, 36);
  const held = Number.parseInt(taken, 36);
  const charges = readCharges(offset, charged);
  const holes = unpackHoles(offset, Buffer.from(packed, 'base64'));
  if (!(end >= offset) || !(held >= 0) || charges === undefined) return nothing;
  return { offset, owner, holes: holes.filter((hole) => hole < end), end, held, charges };
}

/** Distances in groups of seven bits. */
function packHoles(
  offset: number,
  holes: readonly number[],
  room: number,
): { readonly bytes: Buffer; readonly fitted: number } {
  const bytes: number[] = [];
  let before = offset - 1;
  for (const [index, hole] of holes.entries()) {
    if (bytes.length + 8 > room) return { bytes: Buffer.from(bytes), fitted: index };
    let distance = hole - before;
    before = hole;
    while (distance >= 128) {
      bytes.push((distance % 128) + 128);
      distance = Math.floor(distance / 128);
    }
    bytes.push(distance);
  }
  return { bytes: Buffer.from(bytes), fitted: holes.length };
}

function unpackHoles(offset: number, bytes: Buffer): number[] {
  const holes: number[] = [];
  let before = offset - 1;
  let distance = 0;
  let factor = 1;
  for (const byte of bytes) {
    distance += (byte % 128) * factor;
    factor *= 128;
    if (byte >= 128) continue;
    before += distance;
    holes.push(before);
    distance = 0;
    factor = 1;
  }
  return holes;
}

function readCharges(offset: number, text: string): Charge[] | undefined {
  if (text === '') return [];
  const charges: Charge[] = [];
  let end = offset;
  for (const part of text.split('_')) {
    const [length, count] = part.split('.').map((digits) => Number.parseInt(digits, 36));
    if (length === undefined || count === undefined || !(length >= 0) || !(count >= 0)) return undefined;
    end += length;
    charges.push({ end, count });
  }
  return charges;
}
