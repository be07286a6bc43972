export const MEASURE_IDS = [
  'publish',
  'consume',
  'awaited-256',
  'awaited-4096',
  'awaited-65536',
  'storm',
  'latency',
] as const;

export type MeasureId = (typeof MEASURE_IDS)[number];

export interface Measure {
  readonly title: string;
  readonly unit: 'msg/s' | 'µs' | 'ms';
  /** Of an order's JSON; the envelope around it comes on top. */
  readonly bytes: number;
  readonly better: 'more' | 'less';
  /** The part of a run's messages that a round of it takes, and the most. */
  readonly share: number;
  readonly most: number;
  /** Whether the queue holds the messages before the side starts. */
  readonly prefilled: boolean;
}

const awaited = (bytes: number, size: string): Measure => ({
  title: `One publish after the other, ${size}`,
  unit: 'µs',
  bytes,
  better: 'less',
  share: 0.03,
  most: 1_000,
  prefilled: false,
});

export const MEASURES: Readonly<Record<MeasureId, Measure>> = {
  publish: {
    title: 'Publish, 256 in flight',
    unit: 'msg/s',
    bytes: 1_024,
    better: 'more',
    share: 1,
    most: 100_000,
    prefilled: false,
  },
  consume: {
    title: 'Consume, 100 in hand',
    unit: 'msg/s',
    bytes: 1_024,
    better: 'more',
    share: 1,
    most: 100_000,
    prefilled: true,
  },
  'awaited-256': awaited(256, '256 B'),
  'awaited-4096': awaited(4_096, '4 KiB'),
  'awaited-65536': awaited(65_536, '64 KiB'),
  storm: {
    title: 'Retry storm: every message fails once',
    unit: 'msg/s',
    bytes: 1_024,
    better: 'more',
    share: 0.3,
    most: 20_000,
    prefilled: true,
  },
  latency: {
    title: 'From publish to handler at half load, p50 (p99)',
    unit: 'ms',
    bytes: 1_024,
    better: 'less',
    share: 0.2,
    most: 10_000,
    prefilled: false,
  },
};

/** Publishes that are open at once. */
export const IN_FLIGHT = 256;
export const CONCURRENCY = 100;
/** Messages before those that count: a consumer of Waybill begins with one message at a time. */
export const WARM_UP = 1_000;
