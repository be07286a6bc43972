import { invalid } from './problem.ts';

/** The properties of a message; undefined is NULL. */
export interface SqlScope {
  system(name: string): unknown;
  user(name: string): unknown;
}

/** NULL is undefined and, as in SQL, neither true nor false. */
type Evaluate = (scope: SqlScope) => unknown;

const parsed = new Map<string, Evaluate>();

/** Whether an expression of the service's SQL language is true for a message. Throws for what is not in the language. */
export function matchesSql(expression: string, scope: SqlScope): boolean {
  return compile(expression)(scope) === true;
}

/** Throws where an expression cannot be read. */
export function compile(expression: string): Evaluate {
  let evaluate = parsed.get(expression);
  if (evaluate === undefined) {
    evaluate = new Parser(expression).whole();
    parsed.set(expression, evaluate);
  }
  return evaluate;
}

const token = /\s*(?:('(?:[^']|'')*')|(\d+(?:\.\d+)?)|(\[[^\]]*\]|"[^"]*"|[A-Za-z_]\w*)|(<>|!=|<=|>=|[=<>(),.+-]))/y;

const comparisons: Readonly<Record<string, (order: number) => boolean>> = {
  '=': (order) => order === 0,
  '<>': (order) => order !== 0,
  '!=': (order) => order !== 0,
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
};

class Parser {
  readonly #expression: string;
  readonly #tokens: string[];
  #at = 0;

  constructor(expression: string) {
    this.#expression = expression;
    this.#tokens = split(expression);
  }

  whole(): Evaluate {
    const evaluate = this.#or();
    if (this.#at < this.#tokens.length) {
      throw this.#unreadable();
    }
    return evaluate;
  }

  #or(): Evaluate {
    let left = this.#and();
    while (this.#takes('OR')) {
      const [first, second] = [left, this.#and()];
      left = (scope) => either(first(scope), second(scope));
    }
    return left;
  }

  #and(): Evaluate {
    let left = this.#not();
    while (this.#takes('AND')) {
      const [first, second] = [left, this.#not()];
      left = (scope) => negation(either(negation(first(scope)), negation(second(scope))));
    }
    return left;
  }

  #not(): Evaluate {
    if (this.#takes('NOT')) {
      const inner = this.#not();
      return (scope) => negation(inner(scope));
    }
    return this.#predicate();
  }

  #predicate(): Evaluate {
    const left = this.#operand();
    if (this.#takes('IS')) {
      const isNegated = this.#takes('NOT');
      this.#demand('NULL');
      return (scope) => (left(scope) === undefined) !== isNegated;
    }
    const isNegated = this.#takes('NOT');
    const inner = this.#membership(left);
    if (inner !== undefined) {
      return isNegated ? (scope) => negation(inner(scope)) : inner;
    }
    return this.#comparison(left);
  }

  #membership(left: Evaluate): Evaluate | undefined {
    if (this.#takes('IN')) {
      const values = this.#list();
      return (scope) => values.map((value) => comparison('=', left(scope), value(scope))).reduce(either, false);
    }
    if (this.#takes('LIKE')) {
      const pattern = this.#operand();
      return (scope) => like(left(scope), pattern(scope));
    }
    return undefined;
  }

  #comparison(left: Evaluate): Evaluate {
    const operator = this.#tokens[this.#at] ?? '';
    if (comparisons[operator] === undefined) {
      return left;
    }
    this.#at += 1;
    const right = this.#operand();
    return (scope) => comparison(operator, left(scope), right(scope));
  }

  #list(): Evaluate[] {
    this.#demand('(');
    const values = [this.#operand()];
    while (this.#takes(',')) {
      values.push(this.#operand());
    }
    this.#demand(')');
    return values;
  }

  #operand(): Evaluate {
    if (this.#takes('(')) {
      const inner = this.#or();
      this.#demand(')');
      return inner;
    }
    if (this.#takes('EXISTS')) {
      const [property] = this.#list();
      return (scope) => property?.(scope) !== undefined;
    }
    if (this.#takes('-')) {
      const inner = this.#operand();
      return (scope) => -Number(inner(scope));
    }
    return this.#literal() ?? this.#property();
  }

  #literal(): Evaluate | undefined {
    const text = this.#tokens[this.#at] ?? '';
    const value = literalOf(text);
    if (value === undefined) {
      return undefined;
    }
    this.#at += 1;
    return () => value.value;
  }

  #property(): Evaluate {
    const first = this.#name();
    if (!this.#takes('.')) {
      return (scope) => scope.user(first);
    }
    const name = this.#name();
    return first.toLowerCase() === 'sys' ? (scope) => scope.system(name) : (scope) => scope.user(name);
  }

  #name(): string {
    const text = this.#tokens[this.#at] ?? '';
    if (!/^[[A-Za-z_"]/.test(text)) {
      throw this.#unreadable();
    }
    this.#at += 1;
    return /^[["]/.test(text) ? text.slice(1, -1) : text;
  }

  #takes(word: string): boolean {
    const isNext = this.#tokens[this.#at]?.toUpperCase() === word;
    this.#at += isNext ? 1 : 0;
    return isNext;
  }

  #demand(word: string): void {
    if (!this.#takes(word)) {
      throw this.#unreadable();
    }
  }

  #unreadable(): Error {
    return invalid(`SubCode=40000. The filter expression is invalid near token ${this.#at + 1}: ${this.#expression}`);
  }
}

function split(expression: string): string[] {
  const tokens: string[] = [];
  token.lastIndex = 0;
  const text = expression.trim();
  while (token.lastIndex < text.length) {
    const at = token.lastIndex;
    const [, ...groups] = token.exec(text) ?? [];
    const found = groups.find((group) => group !== undefined);
    if (found === undefined) {
      throw invalid(`SubCode=40000. The filter expression is invalid at ${at}: ${expression}`);
    }
    tokens.push(found);
  }
  return tokens;
}

function literalOf(text: string): { readonly value: unknown } | undefined {
  if (text.startsWith("'")) {
    return { value: text.slice(1, -1).replaceAll("''", "'") };
  }
  if (/^\d/.test(text)) {
    return { value: Number(text) };
  }
  const words: Readonly<Record<string, { readonly value: unknown }>> = {
    TRUE: { value: true },
    FALSE: { value: false },
    NULL: { value: undefined },
  };
  return words[text.toUpperCase()];
}

function comparison(operator: string, left: unknown, right: unknown): boolean | undefined {
  if (left === undefined || right === undefined) {
    return undefined;
  }
  if (typeof left !== typeof right) {
    return operator === '<>' || operator === '!=';
  }
  return comparisons[operator]?.(orderOf(left, right));
}

function orderOf(left: unknown, right: unknown): number {
  if (typeof left === 'number' && typeof right === 'number') {
    return left - right;
  }
  const [first, second] = [String(left), String(right)];
  if (first === second) {
    return 0;
  }
  return first < second ? -1 : 1;
}

function like(value: unknown, pattern: unknown): boolean | undefined {
  if (typeof value !== 'string' || typeof pattern !== 'string') {
    return undefined;
  }
  const source = pattern
    .replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll('%', '.*')
    .replaceAll('_', '.');
  return new RegExp(`^${source}$`, 's').test(value);
}

function either(left: unknown, right: unknown): boolean | undefined {
  if (left === true || right === true) {
    return true;
  }
  return left === undefined || right === undefined ? undefined : false;
}

function negation(value: unknown): boolean | undefined {
  return value === undefined ? undefined : value !== true;
}
