import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BUNDLED, resultOf, runDemo } from './run-demo.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waybill-docs-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function inputFile(...lines: readonly unknown[]): Promise<string> {
  const file = join(folder, `${Math.random()}.jsonl`);
  await writeFile(file, lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'));
  return file;
}

const order = {
  orderId: 'o-1',
  customer: 'ada',
  email: 'ada@example.com',
  language: 'en',
  payment: 'card',
  totalCents: 100,
};

describe('order demo', () => {
  test('accounts for every bundled order', async () => {
    const run = await runDemo();
    expect(resultOf(run)).toEqual(BUNDLED);
    expect(run.stdout).toContain('line 138: It is not JSON.');
    expect(run.stdout).toMatch(/line 412: .* totalCents: /);
    expect(run.stdout).toMatch(/mailer +order-0203 +handler-failed +attempt 3: There is no mail template/);
    expect(run).toMatchObject({ code: 0, stderr: '' });
  });

  test('takes orders of both versions from a file', async () => {
    const input = await inputFile({ version: 1, order }, '', {
      version: 2,
      order: { ...order, orderId: 'o-2', currency: 'SEK' },
    });
    const run = await runDemo('--input', input);
    expect(resultOf(run)).toMatchObject({
      published: [2],
      refused: [0],
      handled: [2, 2],
      retried: [0, 0],
      lost: [0, 0],
    });
    expect(run.code).toBe(0);
  });

  test('refuses lines by their number and goes on', async () => {
    const input = await inputFile(
      '{"version":1',
      { order },
      { version: 9, order },
      { version: 2, order },
      { version: 1, order: { ...order, orderId: 'not an id' } },
      { version: 1, order },
    );
    const { stdout, code } = await runDemo('--input', input);
    for (const line of [1, 2, 3, 4, 5]) expect(stdout).toContain(`  line ${line}: `);
    expect(resultOf({ stdout, code, stderr: '' })).toMatchObject({ published: [1], refused: [5], handled: [1, 1] });
    expect(code).toBe(0);
  });

  test('shows its options', async () => {
    const run = await runDemo('--help');
    expect(run).toMatchObject({ code: 0, stderr: '' });
    for (const option of ['--broker', '--url', '--input']) expect(run.stdout).toContain(option);
  });
});

describe('order demo, when it cannot', () => {
  const secret = 'geheim';
  test.each([
    [
      'a broker that it does not know',
      ['--broker', 'nats'],
      '--broker takes memory, rabbitmq, kafka, sqs, service-bus.',
    ],
    ['a url without a broker', ['--url', `amqp://u:${secret}@h`], '--url needs a broker'],
    ['a url of another protocol', ['--broker', 'rabbitmq', '--url', `http://u:${secret}@h`], 'must start with amqp://'],
    ['a url where nobody listens', ['--broker', 'rabbitmq', '--url', `amqp://u:${secret}@127.0.0.1:1`], 'ECONNREFUSED'],
    ['addresses with a password', ['--broker', 'kafka', '--url', `u:${secret}@h:9092`], 'must be host:port'],
    ['addresses where nobody listens', ['--broker', 'kafka', '--url', '127.0.0.1:1,127.0.0.1:2'], 'ECONNREFUSED'],
    ['a file that is not there', ['--input', '/no/such/file'], 'Cannot read /no/such/file: there is no such file.'],
    ['a folder as input', ['--input', tmpdir()], 'it is a folder.'],
    ['an option that it does not know', ['--brokr', 'memory'], "Unknown option '--brokr': --help"],
  ])('says one sentence for %s', async (_, args, sentence) => {
    const { code, stdout, stderr } = await runDemo(...args);
    expect(stderr).toContain(sentence);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).not.toContain(secret);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });
});
