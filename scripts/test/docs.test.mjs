// The documentation checks can fail.
import { describe, expect, test } from 'vitest';

import { modulesOf, placed } from '../checks/blocks.mjs';
import { errorProblems, linkProblems, unionMembers } from '../checks/docs.mjs';
import { anchors } from '../checks/markdown.mjs';

const page = (...lines) => lines.join('\n');

describe('docs/errors.md', () => {
  test('passes with a heading for each code', () => {
    expect(errorProblems(page('# Errors', '## CLOSED', 'text', '## `TIMEOUT`'), ['TIMEOUT', 'CLOSED'])).toEqual([]);
  });

  test('fails without the heading of a code', () => {
    expect(errorProblems('## CLOSED', ['CLOSED', 'TIMEOUT'])).toEqual(['docs/errors.md: has no heading "## TIMEOUT"']);
  });

  test('fails with a heading that is no code', () => {
    expect(errorProblems(page('## CLOSED', '', '## GONE'), ['CLOSED'])[0]).toMatch(/^docs\/errors\.md:3: "GONE"/);
  });

  test('is compared with the union in the source', () => {
    expect(unionMembers("export type A = 'x' | 'y';\nexport type B = | 'P' | 'Q';", 'B')).toEqual(['P', 'Q']);
    expect(() => unionMembers("export type A = 'x' | 'y';", 'B')).toThrow('no union B');
  });
});

describe('a link', () => {
  const files = { 'docs/concepts.md': '# Concepts\n\n## Dead letters\n\n## Dead letters', 'docs/decisions': '' };
  const problems = (markdown) => linkProblems('docs/start.md', markdown, (path) => files[path]);

  test.each([
    '[a](concepts.md)',
    '[a](./concepts.md#dead-letters)',
    '[a](concepts.md#dead-letters-1)',
    '[a](decisions/)',
    '[a](https://github.com/nobody)',
    '# Here\n[a](#here)',
    '`[a](gone.md)`',
    '```sh\n[a](gone.md)\n```',
  ])('%j passes', (markdown) => {
    expect(problems(markdown)).toEqual([]);
  });

  test.each([
    '[a](gone.md)',
    '[a](../concepts.md)',
    '![a](gone.png)',
    '[a]: gone.md',
    '[a](concepts.md#gone)',
    '[a](#gone)',
  ])('%j fails with its line', (link) => {
    expect(problems(`# Title\n\n${link}`)).toEqual([expect.stringMatching(/^docs\/start\.md:3: /)]);
  });

  test('leads to the anchors that GitHub makes', () => {
    expect(anchors('# `close()` and *dispose*\n## What it can’t do')).toEqual(['close-and-dispose', 'what-it-cant-do']);
  });
});

describe('a code block', () => {
  test('is a module, with the lines of its page', () => {
    const { modules } = modulesOf(
      'README.md',
      page('# Title', '```ts', 'const a = 1;', '```', 'text', '```sh', 'ls', '```'),
    );
    expect(modules).toEqual([{ name: 'line-3.ts', lines: [{ text: 'const a = 1;', line: 3 }] }]);
  });

  test('continues the one before', () => {
    const { modules } = modulesOf('README.md', page('```ts', 'a', '```', '```ts continues', 'b', '```'));
    expect(modules.map(({ lines }) => lines.map(({ text }) => text))).toEqual([['a', 'b']]);
  });

  test('may be a named file', () => {
    expect(modulesOf('README.md', page('```ts contracts.ts', 'a', '```')).modules[0].name).toBe('contracts.ts');
  });

  test('fails in a language that would not be compiled, or with words that mean nothing', () => {
    const { problems } = modulesOf(
      'a.md',
      page('```typescript', 'a', '```', '```ts continues', 'b', '```', '```ts what', 'c', '```'),
    );
    expect(problems.map((problem) => problem.split(': ')[0])).toEqual(['a.md:1', 'a.md:4', 'a.md:7']);
  });

  test('has its compile errors on the page', () => {
    const sources = new Map([['README-md/line-3.ts', { path: 'README.md', lines: [{ line: 3 }, { line: 9 }] }]]);
    expect(placed('.cache/blocks/README-md/line-3.ts(2,7): error TS1: no', sources)).toBe('README.md:9: error TS1: no');
  });
});
