// What an adapter may not do: it makes native calls, and the core does the rest.
import ts from 'typescript';

import { imports, isGlobal, lineOf, nodes } from './syntax.mjs';

const ADAPTERS = new Set(['rabbitmq', 'kafka', 'sqs', 'service-bus']);
/** They see the seam, not the core. The memory driver too. */
const DRIVERS = new Set(['memory', ...ADAPTERS]);

/** Files that may read JSON, because it is no message: replies of a management API, policies of a topology. */
const MAY_PARSE = new Set(['packages/sqs/src/sqs-policy.ts']);
/** Files that may set a timer, because it is not for policy: deadlines of one native call. */
const MAY_TIME = new Set([]);

const TIMERS = new Set(['setTimeout', 'setInterval']);
const PRINTERS = new Set(['process.stdout', 'process.stderr', "'node:console'", "'node:process'"]);
const READS_MESSAGE = /\.(?:body|content)\b/;

/** @type {ReadonlyArray<{ id: string, check: (file: { path, syntax }) => Iterable<[line: number, problem: string]> }>} */
export const adapterRules = [
  { id: 'prints', check: prints },
  { id: 'adapter-parses', check: parses },
  { id: 'adapter-timer', check: timers },
  { id: 'adapter-sees-core', check: seesCore },
];

/** Rules on the files that an adapter consists of. */
export function* missingAdapterFiles(paths) {
  const listed = new Set(paths);
  for (const broker of ADAPTERS) {
    if (paths.some((path) => path.startsWith(`packages/${broker}/`))) {
      for (const name of adapterFiles(broker)) {
        const path = `packages/${broker}/src/${name}`;
        if (!listed.has(path)) yield `${path}: missing. Every adapter has the same files [adapter-files]`;
      }
    }
  }
}

export function adapterFiles(broker) {
  const parts = ['driver', 'options', 'error', 'subscription', 'topology'].map((part) => `${broker}-${part}.ts`);
  return [...parts, `to-${broker}-message.ts`, `from-${broker}-message.ts`, 'index.ts'];
}

function* prints({ path, syntax }) {
  // A command is there to print.
  // A command prints; the scenarios of secrets listen to what is printed.
  if (!path.startsWith('packages/') || path.endsWith('/cli.ts') || path.endsWith('/secrets-watch.ts')) return;
  for (const node of nodes(syntax)) {
    const isLeaf = ts.isStringLiteral(node) || ts.isPropertyAccessExpression(node);
    if (isGlobal(node, 'console') || (isLeaf && PRINTERS.has(node.getText(syntax)))) {
      yield [lineOf(node), 'prints. The application hears through observe'];
    }
  }
}

function* parses({ path, syntax }) {
  if (!isIn(ADAPTERS, path)) return;
  for (const node of nodes(syntax)) {
    // `JSON.parse(…)`, but also `const { parse } = JSON`.
    if (isGlobal(node, 'JSON') && node.parent.name?.text !== 'stringify') {
      const argument = node.parent.parent.arguments?.[0]?.getText(syntax) ?? '';
      if (READS_MESSAGE.test(argument) || isFromMessage(path)) {
        yield [lineOf(node), 'parses a message. Bodies are the business of the core'];
      } else if (!MAY_PARSE.has(path)) {
        yield [lineOf(node), 'parses JSON and is not on the list of files that may'];
      }
    }
  }
}

function* timers({ path, syntax }) {
  if (!isIn(ADAPTERS, path) || MAY_TIME.has(path)) return;
  for (const node of nodes(syntax)) {
    if (ts.isIdentifier(node) && TIMERS.has(node.text) && !ts.isImportSpecifier(node.parent)) {
      yield [
        lineOf(node),
        'sets a timer and is not on the list of files that may. Retry and backoff belong to the core',
      ];
    }
  }
  for (const [specifier, node] of imports(syntax)) {
    if (/^(?:node:)?timers\b/.test(specifier)) yield [lineOf(node), `imports ${specifier}`];
  }
}

function* seesCore({ path, syntax }) {
  if (!isIn(DRIVERS, path)) return;
  for (const [specifier, node] of imports(syntax)) {
    if (/^@waybill\/core(?!\/driver$)/.test(specifier) || /\/core\/(?:src|dist)\b/.test(specifier)) {
      yield [lineOf(node), `imports ${specifier}. A driver sees @waybill/core/driver only`];
    }
  }
}

function isIn(brokers, path) {
  const [, broker] = /^packages\/([^/]+)\/src\//.exec(path) ?? [];
  return broker !== undefined && brokers.has(broker);
}

function isFromMessage(path) {
  return /\/from-[^/]+-message\.ts$/.test(path);
}
