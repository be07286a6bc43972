import type { MeasureId } from '../measures.ts';
import type { Side } from '../side.ts';
import { consume, side as one } from './bbc.ts';
import type { SqsPlace } from './sqs.ts';

const INSTANCES = 4;
const OTHERS = ['publish', 'awaited-256', 'awaited-4096', 'awaited-65536', 'latency'] as const satisfies MeasureId[];

/** As its documentation says for speed: several instances. */
export const side: Side<SqsPlace> = {
  name: 'sqs-consumer x4',
  kind: 'peer',
  packages: ['sqs-consumer', '@aws-sdk/client-sqs'],
  absent: Object.fromEntries(OTHERS.map((measure) => [measure, `see ${one.name}`])),
  notes: { storm: one.notes?.storm ?? '' },
  publisher: (setting) => one.publisher(setting),
  consumer: (setting, handle) => consume(setting, handle, INSTANCES),
};
