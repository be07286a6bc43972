import { decode } from '../envelope.ts';
import type { Side } from '../side.ts';
import { side as eachMessage, readEach } from './kafkajs-each-message.ts';
import { type KafkaPlace, onlyConsumes } from './kafka.ts';

/** The client, with every message accepted by itself. */
export const side: Side<KafkaPlace> = {
  name: 'kafkajs commitOffsets',
  kind: 'peer',
  packages: ['kafkajs'],
  absent: onlyConsumes(eachMessage.name),
  share: { consume: 0.04 },
  publisher: (setting) => eachMessage.publisher(setting),
  consumer: (setting, handle) =>
    readEach(setting, { autoCommit: false }, async (reader, { topic, partition, message }) => {
      await handle(decode(String(message.value)));
      await reader.commitOffsets([{ topic, partition, offset: String(BigInt(message.offset) + 1n) }]);
    }),
};
