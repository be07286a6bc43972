import { decode } from '../envelope.ts';
import type { Side } from '../side.ts';
import { onlyConsumes, type KafkaPlace } from './kafka.ts';
import { readStream, side as platformatic } from './platformatic.ts';

/** With every message accepted by itself. */
export const side: Side<KafkaPlace> = {
  name: '@platformatic/kafka commit',
  kind: 'peer',
  packages: ['@platformatic/kafka'],
  absent: onlyConsumes(platformatic.name),
  share: { consume: 0.04 },
  publisher: (setting) => platformatic.publisher(setting),
  consumer: (setting, handle) =>
    readStream(setting, () => ({
      onMessage: async (message) => {
        await handle(decode(message.value.toString()));
        await message.commit();
      },
      flush: () => Promise.resolve(),
    })),
};
