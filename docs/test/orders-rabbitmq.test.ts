import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { isBrokerGiven } from '@waybill/integration';
import { expect, test } from 'vitest';
import { BUNDLED, output, resultOf, runDemo, START } from './run-demo.ts';

// They start a broker, with engine and image where those are missing: that may take minutes once.
const options = { timeout: 600_000 };

test('the order demo prints the same table on RabbitMQ', options, async () => {
  const run = await runDemo('--broker', 'rabbitmq');
  expect(run.stderr).toBe('');
  expect(resultOf(run)).toEqual(BUNDLED);
  expect(run.code).toBe(0);
});

test.skipIf(isBrokerGiven())('Ctrl-C stops the broker that the order demo started', options, async () => {
  const demo = spawn(process.execPath, [START, '--broker', 'rabbitmq']);
  const ended = once(demo, 'exit');
  await new Promise<void>((resolve) => {
    demo.stdout.on('data', (chunk) => {
      if (String(chunk).includes('Orders on RabbitMQ')) resolve();
    });
  });
  demo.kill('SIGINT');
  expect(await ended).toEqual([130, null]);
  expect(await output('docker', 'ps', '-aq', '--filter', `label=waybill.harness=${demo.pid}`)).toBe('');
});
