import { ensureEngine } from './engine.ts';
import { type ImageKind, resolveImage } from './images.ts';
import { type Progress, silent } from './progress.ts';
import { isBrokerGiven } from './rabbitmq-settings.ts';
import { sweepLeftovers } from './sweep.ts';

const kinds: readonly ImageKind[] = [
  'elasticmq',
  'kafka',
  'localemu',
  'rabbitmq-current',
  'rabbitmq-old',
  'redis',
  'toxiproxy',
];

/**
 * Gets a machine ready for tests: engine, images, no leftovers. Quick when all is there; builds images side by side when
 * not. Needs nothing when `WAYBILL_RABBITMQ_URL` gives a broker.
 */
export async function prepare(progress: Progress = silent): Promise<void> {
  if (isBrokerGiven()) {
    progress('engine and images: none needed, WAYBILL_RABBITMQ_URL gives a broker');
    return;
  }
  await ensureEngine(progress);
  await Promise.all([sweepLeftovers(progress), ...kinds.map((kind) => resolveImage(kind, progress))]);
}
