import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const folder = new URL('../src/', import.meta.url);
const sources = readdirSync(folder).map((name) => ({ name, text: readFileSync(new URL(name, folder), 'utf8') }));

describe('an adapter', () => {
  test.each(sources)('$name has no log, no timer of its own and no JSON of bodies', ({ text }) => {
    expect(text).not.toMatch(/\bconsole\b|\bset(Timeout|Interval)\b|JSON\.parse|process\.(on|env)|Math\.random/);
  });
});
