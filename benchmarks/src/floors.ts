import type { MeasureId } from './measures.ts';
import type { Floor, Medians } from './side.ts';

/** A measure of Waybill over that of another side; undefined where one of them was not measured. */
export interface Compared {
  readonly measure: MeasureId;
  readonly than: string;
  readonly median: Medians;
  /** Another number than the measure's first. */
  readonly of?: 'cpuUs' | 'p99';
}

export function atLeast(floor: number, compared: Compared): Floor | undefined {
  const measured = ratio(compared);
  if (measured === undefined) return undefined;
  const text = `${name(compared)}: at least ${floor} times that of ${compared.than}`;
  return { text, measured, floor, holds: measured >= floor };
}

export function atMost(floor: number, compared: Compared): Floor | undefined {
  const measured = ratio(compared);
  if (measured === undefined) return undefined;
  const text = `${name(compared)}: at most ${floor} times that of ${compared.than}`;
  return { text, measured, floor, holds: measured <= floor };
}

function name({ measure, of }: Compared): string {
  return of === undefined ? measure : `${measure}, ${of === 'cpuUs' ? 'CPU of the client' : of}`;
}

function ratio({ measure, than, median, of }: Compared): number | undefined {
  const ours = median(measure, 'waybill', of);
  const theirs = median(measure, than, of);
  return ours === undefined || theirs === undefined ? undefined : Number((ours / theirs).toFixed(3));
}
