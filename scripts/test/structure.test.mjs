// Each rule of scripts/checks/structure.mjs can fail, and passes what it is there to let through.
import { describe, expect, test } from 'vitest';

import { adapterFiles } from '../checks/adapter-rules.mjs';
import { structureProblems } from '../checks/structure.mjs';

/** Problems of a repository with these files; `rule` keeps those of one rule. */
function problems(files, rule) {
  const found = structureProblems(Object.keys(files), (path) => files[path]);
  return found.filter((problem) => problem.endsWith(`[${rule}]`));
}

const wholeAdapter = Object.fromEntries(adapterFiles('kafka').map((name) => [`packages/kafka/src/${name}`, '']));

describe('a source rule', () => {
  test.each([
    ['prints', 'packages/rabbitmq/src/rabbitmq-driver.ts', "console.log('connected');"],
    ['prints', 'packages/sqs/src/sqs-driver.ts', "process.stdout.write('connected');"],
    ['prints', 'packages/core/src/bus.ts', "import { stdout } from 'node:process';"],
    ['prints', 'packages/kafka/src/kafka-driver.ts', 'const { log } = console;'],
    [
      'adapter-parses',
      'packages/rabbitmq/src/from-rabbitmq-message.ts',
      'export const read = (text) => JSON.parse(text);',
    ],
    ['adapter-parses', 'packages/rabbitmq/src/rabbitmq-admin.ts', 'export const read = (m) => JSON.parse(m.content);'],
    ['adapter-parses', 'packages/service-bus/src/service-bus-driver.ts', 'const data = JSON.parse(message.body);'],
    ['adapter-parses', 'packages/sqs/src/sqs-driver.ts', 'const { parse } = JSON;'],
    ['adapter-timer', 'packages/rabbitmq/src/wait.ts', 'export const wait = () => setTimeout(again, 1000);'],
    ['adapter-timer', 'packages/kafka/src/kafka-driver.ts', 'globalThis.setInterval(poll, 50);'],
    ['adapter-timer', 'packages/sqs/src/sqs-driver.ts', "import { setTimeout as sleep } from 'node:timers/promises';"],
    ['adapter-sees-core', 'packages/rabbitmq/src/rabbitmq-driver.ts', "import type { Bus } from '@waybill/core';"],
    ['adapter-sees-core', 'packages/memory/src/memory-driver.ts', "import { decode } from '@waybill/core';"],
    ['adapter-sees-core', 'packages/kafka/src/kafka-driver.ts', "export { x } from '../../core/src/driver/driver.ts';"],
    ['index-exports-only', 'packages/core/src/index.ts', 'export const answer = 42;'],
    ['index-exports-only', 'packages/core/src/index.ts', "import './bus.ts';"],
    ['no-export-star', 'packages/core/src/index.ts', "export * from './bus.ts';"],
    ['no-export-star', 'packages/core/src/bus.ts', "export * as all from './inbox.ts';"],
    ['import-extension', 'packages/core/src/bus.ts', "import { a } from './inbox.js';"],
    ['no-inheritance', 'packages/core/src/bus.ts', 'export class Bus extends Emitter {}'],
    ['hash-private', 'packages/core/src/bus.ts', 'export class Bus { private open = false; }'],
    ['import-side-effect', 'packages/core/src/bus.ts', 'connect();'],
    ['type-parameters', 'packages/core/src/bus.ts', 'export function f<A, B, C>(a: A, b: B, c: C): void {}'],
    ['names', 'packages/core/src/runtime/utils.ts', 'export const a = 1;'],
    ['names', 'packages/core/src/bus.ts', 'export interface IBus {}'],
    ['names', 'packages/core/src/bus.ts', 'export class ConnectionManager {}'],
    ['comments', 'packages/core/src/bus.ts', '/**\n * @param name - the name\n */\nexport const a = 1;'],
    ['comments', 'packages/core/src/bus.ts', '// ---------- helpers ----------\nexport const a = 1;'],
    ['comments', 'packages/core/src/bus.ts', '// TODO make it fast\nexport const a = 1;'],
    ['comments', 'packages/core/src/bus.ts', 'export const a = 1;\n// FIXME at the end of the file'],
  ])('%s refuses %s: %s', (rule, path, text) => {
    expect(problems({ [path]: text }, rule)).toHaveLength(1);
  });

  test.each([
    [
      'prints',
      'packages/rabbitmq/src/rabbitmq-driver.ts',
      '// console.log\nexport const console2 = { console: "console.log" };',
    ],
    ['prints', 'integration/src/progress.ts', "process.stdout.write('started');"],
    ['adapter-parses', 'packages/core/src/envelope/decode.ts', 'export const read = (text) => JSON.parse(text);'],
    [
      'adapter-parses',
      'packages/rabbitmq/src/from-rabbitmq-message.ts',
      'export const show = (v) => JSON.stringify(v);',
    ],
    ['adapter-timer', 'packages/core/src/driver/clock.ts', 'setTimeout(run, 1);'],
    [
      'adapter-timer',
      'packages/rabbitmq/src/wait.ts',
      '/** `setTimeout` is early at times. */\nexport const a = setImmediate;',
    ],
    [
      'adapter-sees-core',
      'packages/rabbitmq/src/rabbitmq-driver.ts',
      "import type { Driver } from '@waybill/core/driver';",
    ],
    [
      'index-exports-only',
      'packages/core/src/index.ts',
      "// The core.\nexport { a } from './a.ts';\nexport type { B } from './b.ts';",
    ],
    ['no-inheritance', 'packages/core/src/driver/errors.ts', 'export class BatchError extends WaybillError {}'],
    [
      'import-side-effect',
      'packages/core/src/driver/errors.ts',
      'Object.defineProperty(WaybillError.prototype, BRAND, {});',
    ],
    ['import-side-effect', 'packages/conformance/src/worker-main.ts', 'await work();'],
    ['prints', 'packages/conformance/src/cli.ts', "process.stdout.write('1 passed');"],
    ['comments', 'packages/core/src/bus.ts', '// TODO(#12): make it fast\nexport const a = 1;'],
    ['comments', 'packages/core/src/bus.ts', '/**\n * Waits.\n *\n * @default 10\n */\nexport const a = 1;'],
  ])('%s lets through %s: %s', (rule, path, text) => {
    expect(problems({ [path]: text }, rule)).toEqual([]);
  });

  test('names the file and the line', () => {
    const files = {
      'packages/rabbitmq/src/wait.ts': "import { a } from './a.ts';\n\nexport const b = () => setTimeout(a, 1);",
    };
    expect(problems(files, 'adapter-timer')[0]).toMatch(/^packages\/rabbitmq\/src\/wait\.ts:3: /);
  });
});

describe('the files of an adapter', () => {
  test('are the same in every one', () => {
    expect(problems(wholeAdapter, 'adapter-files')).toEqual([]);
  });

  test.each(Object.keys(wholeAdapter))('without %s are refused', (path) => {
    const { [path]: _removed, ...rest } = wholeAdapter;
    expect(problems(rest, 'adapter-files')).toHaveLength(1);
  });
});

describe('a folder', () => {
  test('with one file is refused', () => {
    expect(
      problems({ 'packages/core/src/index.ts': '', 'packages/core/src/lonely/only.ts': '' }, 'folders'),
    ).toHaveLength(1);
  });

  test('below src/<folder>/ is refused', () => {
    const files = { 'packages/core/src/a/b/one.ts': '', 'packages/core/src/a/b/two.ts': '' };
    expect(problems(files, 'folders')).toHaveLength(2);
  });

  test('with two files passes', () => {
    expect(problems({ 'packages/core/src/a/one.ts': '', 'packages/core/src/a/two.ts': '' }, 'folders')).toEqual([]);
  });
});
