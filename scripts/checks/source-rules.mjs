// How source files look, beyond what oxlint knows: style that every package shares.
import ts from 'typescript';

import { comments, imports, lineOf, nodes } from './syntax.mjs';

const MAX_TYPE_PARAMETERS = 2;
/** Words that say nothing about what is inside. */
const DRAWERS = /(?:^|\/)(?:utils?|helpers?|common|misc|shared)(?:\.[^/]+)?\.ts$/;
const EMPTY_NAMES = /^(?:I[A-Z][a-z]|Abstract)|(?:Impl|Manager|Helper)$/;
const NOISE = /^\s*\*?\s*@(?:param|returns?|class|extends|type|typedef)\b/m;
const BANNER = /[-=*#~─═]{5,}/;
const UNOWNED = /\b(?:TODO|FIXME|XXX|HACK)\b(?!.*(?:#\d+|\/issues\/\d+))/;

/** @type {ReadonlyArray<{ id: string, check: (file: { path, syntax }) => Iterable<[line: number, problem: string]> }>} */
export const sourceRules = [
  { id: 'index-exports-only', check: indexExportsOnly },
  { id: 'no-export-star', check: exportStars },
  { id: 'import-extension', check: importExtensions },
  { id: 'no-inheritance', check: inheritance },
  { id: 'hash-private', check: modifiers },
  { id: 'import-side-effect', check: sideEffects },
  { id: 'type-parameters', check: typeParameters },
  { id: 'names', check: names },
  { id: 'comments', check: commentNoise },
];

/** Folders below src or test that hold one file, or are folders of folders. */
export function* folderProblems(paths) {
  const inside = new Map();
  for (const path of paths) {
    const [, base, rest] = /^((?:packages\/[^/]+|integration)\/(?:src|test)|scripts)\/(.+)\//.exec(path) ?? [];
    if (base !== undefined) {
      inside.set(`${base}/${rest}`, (inside.get(`${base}/${rest}`) ?? 0) + 1);
      if (base.endsWith('/src') && rest.includes('/')) yield `${path}: deeper than src/<folder>/ [folders]`;
    }
  }
  for (const [folder, count] of inside) {
    if (count === 1) yield `${folder}: a folder with one file. Move it up [folders]`;
  }
}

function* indexExportsOnly({ path, syntax }) {
  if (!path.endsWith('/index.ts')) return;
  for (const statement of syntax.statements) {
    if (!ts.isExportDeclaration(statement) || statement.moduleSpecifier === undefined) {
      yield [lineOf(statement), 'index.ts only exports from other files'];
    }
  }
}

function* exportStars({ syntax }) {
  for (const statement of syntax.statements) {
    if (ts.isExportDeclaration(statement) && !isNamed(statement.exportClause)) {
      yield [lineOf(statement), 'export * hides what is public. Name it'];
    }
  }
}

function* importExtensions({ syntax }) {
  for (const [specifier, node] of imports(syntax)) {
    if (/^\.\.?\//.test(specifier) && !/\.(?:ts|mjs|json)$/.test(specifier)) {
      yield [lineOf(node), `${specifier}: relative imports end with .ts`];
    }
  }
}

function* inheritance({ path, syntax }) {
  if (!path.startsWith('packages/')) return;
  for (const node of nodes(syntax)) {
    const base = ts.isHeritageClause(node) && ts.isClassLike(node.parent) ? node : undefined;
    if (base?.token === ts.SyntaxKind.ExtendsKeyword && !/Error\b/.test(base.types[0].getText(syntax))) {
      yield [lineOf(node), 'only errors inherit'];
    }
  }
}

function* modifiers({ path, syntax }) {
  if (!path.startsWith('packages/')) return;
  for (const node of nodes(syntax)) {
    if (MODIFIERS.has(node.kind)) yield [lineOf(node), `${node.getText(syntax)}: use #private names, or nothing`];
  }
}

/** Importing a package opens no connection, starts no timer, changes no global. */
function* sideEffects({ path, syntax }) {
  // A command and the main file of a process are there to run.
  if (!path.startsWith('packages/') || /(?:\/cli|-main)\.ts$/.test(path)) return;
  for (const statement of syntax.statements) {
    if (!HARMLESS.has(statement.kind) && !isBrand(statement, syntax)) {
      yield [lineOf(statement), 'runs when it is imported'];
    }
  }
}

function* typeParameters({ syntax }) {
  for (const node of nodes(syntax)) {
    const count = node.typeParameters?.length ?? 0;
    if (count > MAX_TYPE_PARAMETERS) yield [lineOf(node), `${count} type parameters, at most ${MAX_TYPE_PARAMETERS}`];
  }
}

function* names({ path, syntax }) {
  if (DRAWERS.test(path)) yield [1, 'a drawer: name the file for what is in it'];
  for (const node of nodes(syntax)) {
    const isNamedType =
      ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node);
    if (isNamedType && EMPTY_NAMES.test(node.name?.text ?? '')) {
      yield [lineOf(node), `${node.name.text}: name it for what it is, without I, Abstract, Impl, Manager or Helper`];
    }
  }
}

function* commentNoise({ syntax }) {
  for (const [text, line] of comments(syntax)) {
    if (NOISE.test(text.replaceAll(/^\/\*\*/g, ''))) yield [line, 'says in a tag what the types say'];
    if (BANNER.test(text.replaceAll(/^\/\*+|\*+\/$/g, ''))) yield [line, 'a banner: make it a file'];
    if (UNOWNED.test(text)) yield [line, 'a TODO without the number of an issue'];
  }
}

const MODIFIERS = new Set([
  ts.SyntaxKind.PrivateKeyword,
  ts.SyntaxKind.ProtectedKeyword,
  ts.SyntaxKind.PublicKeyword,
  ts.SyntaxKind.Decorator,
]);

const HARMLESS = new Set([
  ts.SyntaxKind.ImportDeclaration,
  ts.SyntaxKind.ExportDeclaration,
  ts.SyntaxKind.InterfaceDeclaration,
  ts.SyntaxKind.TypeAliasDeclaration,
  ts.SyntaxKind.FunctionDeclaration,
  ts.SyntaxKind.ClassDeclaration,
  ts.SyntaxKind.VariableStatement,
]);

/** `Object.defineProperty(X.prototype, …)`: a brand, which a class field cannot be under isolatedDeclarations. */
function isBrand(statement, syntax) {
  return /^Object\.defineProperty\(\w+\.prototype,/.test(statement.getText(syntax));
}

function isNamed(clause) {
  return clause !== undefined && ts.isNamedExports(clause);
}
