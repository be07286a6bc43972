import type { MeasureId } from './measures.ts';
import type { Floor, Numbers } from './side.ts';

/** Waybill in a measure over another side; no floor where one of them was not measured. */
export interface Compared {
  readonly measure: MeasureId;
  readonly than: string;
}

export function atLeast(numbers: Numbers, floor: number, { measure, than }: Compared): readonly Floor[] {
  const measured = numbers.ratio(measure, than);
  if (measured === undefined) return [];
  const text = `${measure}: at least ${floor} times that of ${than}`;
  return [{ text, measured, floor, holds: measured >= floor }];
}

export function atMost(numbers: Numbers, floor: number, { measure, than }: Compared): readonly Floor[] {
  const measured = numbers.ratio(measure, than);
  if (measured === undefined) return [];
  const text = `${measure}: at most ${floor} times that of ${than}`;
  return [{ text, measured, floor, holds: measured <= floor }];
}
