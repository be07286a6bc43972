import { afterEach, expect, test, vi } from 'vitest';

import { prepare, startRabbitmq } from '../src/index.ts';
import { sharedRabbitmq } from './shared.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

test('a broker given by URL is taken as it is and refuses faults that need a container', async () => {
  const { url, version } = sharedRabbitmq();
  vi.stubEnv('WAYBILL_RABBITMQ_URL', url);
  const lines: string[] = [];
  await prepare((line) => lines.push(line));
  const broker = await startRabbitmq({ progress: (line) => lines.push(line) });
  expect(broker.descriptor).toEqual({ urls: [url], version, containerIds: [] });
  expect(lines).toEqual([
    'engine and images: none needed, WAYBILL_RABBITMQ_URL gives a broker',
    'broker: RabbitMQ of WAYBILL_RABBITMQ_URL, no container',
  ]);
  await expect(broker.kill()).rejects.toThrow('unset WAYBILL_RABBITMQ_URL');
  await expect(broker.blockPublishers(true)).rejects.toThrow('needs a container');
  await broker.stop();
});
