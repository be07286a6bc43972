import { expect, test } from 'vitest';

import { matchesSql } from '../../src/service-bus-standin/sql-filter.ts';

const system: Readonly<Record<string, unknown>> = { label: 'order.created', messageid: 'm-1' };
const user: Readonly<Record<string, unknown>> = {
  kind: 'x',
  'with space': 1,
  size: 10,
  yes: true,
  no: false,
  text: "it's",
};
const scope = {
  system: (name: string) => system[name.toLowerCase()],
  user: (name: string) => user[name],
};

test.each([
  ['1=1', true],
  ['1=0', false],
  ["sys.Label = 'order.created'", true],
  ["sys.label IN ('a', 'order.created')", true],
  ["sys.Label NOT IN ('a', 'b')", true],
  ["sys.Label IN ('a')", false],
  ["kind = 'x' AND size > 5", true],
  ["user.kind = 'x' AND size > 15", false],
  ["kind = 'y' OR size <= 10", true],
  ["NOT kind = 'y'", true],
  ["NOT (kind = 'x' OR size = 1)", false],
  ["kind <> 'y'", true],
  ["kind != 'x'", false],
  ['[with space] = 1', true],
  ['"with space" = 1', true],
  ['yes', true],
  ['yes = TRUE', true],
  ['no = true', false],
  ["text = 'it''s'", true],
  ["sys.Label LIKE 'order.%'", true],
  ["sys.Label LIKE 'order_created'", true],
  ["sys.Label NOT LIKE 'order.%'", false],
  ["kind LIKE '.'", false],
  ['missing IS NULL', true],
  ['kind IS NOT NULL', true],
  ['EXISTS(kind)', true],
  ['EXISTS(user.missing)', false],
  ['size = 10.0', true],
  ['size > -1', true],
])('%s is %s', (expression, expected) => {
  expect(matchesSql(expression, scope)).toBe(expected);
});

test.each([
  ["missing = 'x'"],
  ["missing <> 'x'"],
  ["NOT missing = 'x'"],
  ["missing IN ('x')"],
  ["missing NOT IN ('x')"],
  ["missing LIKE '%'"],
  ["missing = 'x' AND 1=1"],
])('what is unknown lets nothing through: %s', (expression) => {
  expect(matchesSql(expression, scope)).toBe(false);
});

test.each([["missing = 'x' OR 1=1"], ["NOT (missing = 'x' AND 1=0)"]])(
  'what is unknown does not matter where the rest decides: %s',
  (expression) => {
    expect(matchesSql(expression, scope)).toBe(true);
  },
);

test.each([
  [''],
  ['kind ='],
  ["kind = 'x"],
  ["kind IN ('x'"],
  ['kind @ 1'],
  ["kind = 'x' size = 1"],
  ['sys.'],
  ['AND 1=1'],
])('what cannot be read is refused: %s', (expression) => {
  expect(() => matchesSql(expression, scope)).toThrow('The filter expression is invalid');
});
