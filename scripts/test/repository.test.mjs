// The checks on packages, dependencies, types and leaks can fail.
import { describe, expect, test } from 'vitest';

import { catalogOf, page } from '../checks/dependencies.mjs';
import { leaks } from '../checks/leaks.mjs';
import { contentProblems, manifestProblems } from '../checks/packages.mjs';
import { emptyTypeTests, uncompiled } from '../checks/types.mjs';

const manifest = {
  name: '@waybill/sqs',
  license: 'MIT',
  type: 'module',
  sideEffects: false,
  engines: { node: '>=20.19' },
  exports: { '.': './dist/index.js', './package.json': './package.json' },
  peerDependencies: { '@waybill/core': 'workspace:^' },
  dependencies: { zod: 'catalog:', '@aws-sdk/client-sqs': '^3.1.0' },
};
const contents = ['package.json', 'README.md', 'LICENSE', 'dist/index.js', 'dist/index.d.ts', 'src/index.ts'];

// Written so that this file itself passes.
const join = (...parts) => parts.join('');

describe('a package', () => {
  test('passes with what every package says and contains', () => {
    expect(manifestProblems('packages/sqs', manifest)).toEqual([]);
    expect(contentProblems('packages/sqs', contents)).toEqual([]);
  });

  test.each([
    [{ license: 'GPL' }],
    [{ type: 'commonjs' }],
    [{ sideEffects: undefined }],
    [{ engines: { node: '>=22' } }],
    [{ exports: { '.': './dist/index.js' } }],
    [{ dependencies: { '@waybill/core': '1.0.0' } }],
  ])('with %j fails', (change) => {
    expect(manifestProblems('packages/sqs', { ...manifest, ...change })).toHaveLength(1);
  });

  test.each(['README.md', 'LICENSE', 'dist/index.d.ts'])('without %s fails', (path) => {
    expect(
      contentProblems(
        'packages/sqs',
        contents.filter((other) => other !== path),
      ),
    ).toHaveLength(1);
  });

  test.each(['dist/tsconfig.tsbuildinfo', 'test/send.test.ts', 'bench/raw.mjs', 'tsconfig.json'])(
    'with %s fails',
    (path) => {
      expect(contentProblems('packages/sqs', [...contents, path])).toHaveLength(1);
    },
  );
});

describe('docs/dependencies.md', () => {
  const catalog = catalogOf("packages:\n  - a\ncatalog:\n  zod: 4.6.7\n  'vitest': 4.1.12\nother: true\n");

  test('has a row for each runtime dependency, with the version of the catalog', () => {
    const rows = page([{ manifest }], catalog)
      .split('\n')
      .filter((line) => line.startsWith('| @waybill'));
    expect(
      rows.map((row) =>
        row
          .split('|')
          .map((cell) => cell.trim())
          .slice(1, -1),
      ),
    ).toEqual([
      ['@waybill/sqs', '@aws-sdk/client-sqs', '^3.1.0', 'dependency'],
      ['@waybill/sqs', 'zod', '4.6.7', 'dependency'],
      ['@waybill/sqs', '@waybill/core', 'of the same release', 'peer'],
    ]);
  });

  test('differs with one dependency more', () => {
    const more = { ...manifest, dependencies: { ...manifest.dependencies, lodash: '^4.0.0' } };
    expect(page([{ manifest: more }], catalog)).not.toBe(page([{ manifest }], catalog));
  });
});

describe('a test folder', () => {
  test('without a tsconfig.json fails', () => {
    expect(uncompiled(['packages/core/test/a.test.ts'])).toHaveLength(1);
    expect(uncompiled(['packages/core/test/a/b.test.ts', 'packages/core/test/tsconfig.json'])).toEqual([]);
  });

  test('with a type test that refuses nothing fails', () => {
    const texts = { 'a.test-d.ts': 'const a = 1;', 'b.test-d.ts': '// @ts-expect-error\nb();' };
    expect(emptyTypeTests(Object.keys(texts), (path) => texts[path])).toEqual([
      expect.stringMatching(/^a\.test-d\.ts/),
    ]);
  });
});

describe('a leak', () => {
  test.each([
    ['private-path', join('/ho', 'me/someone/waybill')],
    ['private-path', join('"/Us', 'ers/someone/waybill"')],
    ['outside-path', join('see .', './sha', 'red/design.md')],
    ['outside-path', join('/wo', 'rk/main')],
    ['registry', join('registry', '.npmjs', '.org')],
    ['registry', join('deb', '.debian', '.org/debian')],
    ['host', join('https:/', '/some.where.net/x')],
    ['secret', join('amqp:/', '/me:hunter2@broker.somewhere.net')],
    ['secret', join('-----BEGIN RSA PRIV', 'ATE KEY-----')],
    ['secret', join('AKI', 'AABCDEFGHIJKLMNOP')],
    ['machine', 'a-name-of-this-machine'],
  ])('%s is found in %s', (rule, text) => {
    const found = leaks('docs/a.md', `first\n${text}`, ['a-name-of-this-machine']);
    expect(found).toEqual(
      expect.arrayContaining([expect.stringMatching(new RegExp(`^docs/a\\.md:2: .*\\[${rule}\\]$`))]),
    );
  });

  test.each([
    'amqp://guest:guest@localhost:5672',
    'http://127.0.0.1:15672/api',
    'https://github.com/nobody/waybill',
    'https://broker.example.com/x',
    // oxlint-disable-next-line no-template-curly-in-string -- source that builds a URL
    '`amqp://${user}:${password}@${host}:${port}`',
    'import { a } from "../shared.ts"',
    'a path such as homework/main or /usr/bin/env',
  ])('is not seen in %s', (text) => {
    expect(leaks('docs/a.md', text)).toEqual([]);
  });
});
