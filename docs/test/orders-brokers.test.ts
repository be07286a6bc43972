import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { isBrokerGiven } from '@waybill/integration';
import { describe, expect, test } from 'vitest';
import { BUNDLED, output, resultOf, runDemo, START } from './run-demo.ts';

// They start a broker, with engine and image where those are missing: that may take minutes once.
const options = { timeout: 600_000 };

const brokers = [
  ['RabbitMQ', 'rabbitmq', 'WAYBILL_RABBITMQ_URL'],
  ['Kafka', 'kafka', 'WAYBILL_KAFKA_BROKERS'],
  // One order is published twice: a FIFO topic takes it once, and tells nobody.
  ['SQS', 'sqs', 'WAYBILL_SQS_ENDPOINT'],
  // It has no setting that gives a running one.
  ['a stand-in for Azure Service Bus', 'service-bus', ''],
] as const;

describe.each(brokers)('order demo on %s', (title, broker, setting) => {
  const isGiven = Boolean(process.env[setting]);

  test.skipIf(isBrokerGiven() && !isGiven)('prints the same table', options, async () => {
    const run = await runDemo('--broker', broker);
    expect(run.stderr).toBe('');
    expect(resultOf(run)).toEqual(BUNDLED);
    expect(run.code).toBe(0);
  });

  test.skipIf(isBrokerGiven() || isGiven)(
    'stops the broker that it started when Ctrl-C is pressed',
    options,
    async () => {
      const demo = spawn(process.execPath, [START, '--broker', broker]);
      const ended = once(demo, 'exit');
      const begun = new Promise<void>((resolve) => {
        demo.stdout.on('data', (chunk) => {
          if (String(chunk).includes(`Orders on ${title}`)) resolve();
        });
      });
      await Promise.race([begun, ended]);
      demo.kill('SIGINT');
      expect(await ended).toEqual([130, null]);
      expect(await output('docker', 'ps', '-aq', '--filter', `label=waybill.harness=${demo.pid}`)).toBe('');
    },
  );
});
