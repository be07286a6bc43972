import { execFile } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { isBrokerGiven, type Rabbitmq, startRabbitmq } from '@waybill/integration';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const exec = promisify(execFile);
const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const GUIDE = readFileSync(at('../guides/conformance-in-ci.md'), 'utf8');
const EXAMPLE = at('../examples/conformance-in-ci/');

/** The blocks of the guide in this language. */
function blocksOf(language: string): readonly string[] {
  return [...GUIDE.matchAll(/^```(\S+).*\n([^]*?)^```$/gm)].flatMap(([, name, text = '']) =>
    name === language ? [text] : [],
  );
}

test('the guide shows the files of the example', () => {
  const files = (['harness.ts', 'conformance.test.ts'] as const).map((name) =>
    readFileSync(join(EXAMPLE, name), 'utf8'),
  );
  expect(blocksOf('ts')).toEqual(expect.arrayContaining(files));
  expect(blocksOf('yaml')).toEqual([readFileSync(join(EXAMPLE, 'workflow.yml'), 'utf8')]);
});

// Kills and pauses the broker's container, so it needs one of its own.
describe.skipIf(isBrokerGiven())('who follows the guide', () => {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-guide-'));
  let broker: Rabbitmq | undefined;
  const run = (command: string, ...args: readonly string[]): Promise<{ readonly stdout: string }> =>
    exec(command, args, {
      cwd: folder,
      env: {
        ...process.env,
        RABBITMQ_URL: broker?.url,
        BROKER_CONTAINER: broker?.containerIds[0],
        npm_config_loglevel: 'error',
      },
    });

  beforeAll(async () => {
    const packages = ['packages/core', 'packages/rabbitmq', 'packages/conformance'];
    const packed = run(process.execPath, at('../../scripts/pack.mjs'), folder, ...packages);
    [broker] = await Promise.all([startRabbitmq(), packed]);
    await run('npm', 'init', '--yes');
    await run('npm', 'pkg', 'set', 'type=module');
    // What is not published yet, as it would be.
    await run(
      'npm',
      'install',
      ...readdirSync(folder)
        .filter((name) => name.endsWith('.tgz'))
        .map((name) => `./${name}`),
    );
    writeFileSync(join(folder, 'harness.ts'), blocksOf('ts')[0] ?? '');
  }, 120_000);

  afterAll(async () => {
    await broker?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('gets from an empty folder to a green run with faults, from TypeScript', async () => {
    const only = [
      'stored-before-resolve',
      'attempts-killed',
      'drain-broker-paused',
      'recovery-broker-killed',
      'redrive-cut',
    ];
    const options = [...only.flatMap((id) => ['--only', id]), '--json', 'results.json'];
    const { stdout } = await run('npx', '@waybill/conformance', '--driver', './harness.ts', ...options);
    expect(stdout).toMatch(/rabbitmq 4\.\S+: 4 passed, 0 failed, 0 not declared and refused, 1 not applicable/);
    const { results } = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')) as {
      results: readonly unknown[];
    };
    expect(results).toHaveLength(5);
  }, 120_000);

  test('registers the scenarios with node:test', async () => {
    // As compiled, for a Node that runs no TypeScript.
    for (const name of ['harness.js', 'conformance.test.js'])
      copyFileSync(at(`../dist/conformance-in-ci/${name}`), join(folder, name));
    const pattern = ['--test-reporter=tap', '--test-name-pattern', 'stored-before-resolve|poison-undecodable'];
    const { stdout } = await run(process.execPath, '--test', ...pattern, 'conformance.test.js');
    expect(stdout).toMatch(/^\s*ok \d+ - stored-before-resolve: publish resolves only after/m);
    expect(stdout).toMatch(/^\s*ok \d+ - poison-undecodable: /m);
    expect(stdout).toContain('# fail 0');
  }, 60_000);
});
