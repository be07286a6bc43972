import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const folder = new URL('../src/', import.meta.url);
const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => ({ name, text: readFileSync(new URL(name, folder), 'utf8') }));

describe('an adapter', () => {
  test.each(sources)('$name has no log and no timer of its own', ({ text }) => {
    expect(text).not.toMatch(/\bconsole\b|\bset(Timeout|Interval)\b|process\.(on|env)|Math\.random/);
  });

  test.each(sources.filter(({ text }) => text.includes('JSON.parse')))(
    '$name parses policies, and no body',
    ({ name }) => {
      expect(name).toBe('sqs-policy.ts');
    },
  );
});
