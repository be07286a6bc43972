// The little of TypeScript's syntax tree that the structure rules need.
import ts from 'typescript';

export function parse(path, text) {
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
}

/** Every node below, depth first. */
export function* nodes(parent) {
  for (const child of childrenOf(parent)) {
    yield child;
    yield* nodes(child);
  }
}

export function lineOf(node) {
  const file = node.getSourceFile();
  return file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1;
}

/** `[specifier, node]` of every import and re-export, also `import('…')` and `import type`. */
export function* imports(file) {
  for (const node of nodes(file)) {
    const specifier = specifierOf(node);
    if (specifier !== undefined && ts.isStringLiteralLike(specifier)) yield [specifier.text, node];
  }
}

/** Whether a node names a global, and is not a property or a key of that name. */
export function isGlobal(node, name) {
  const { parent } = node;
  return ts.isIdentifier(node) && node.text === name && !(parent.name === node && !ts.isVariableDeclaration(parent));
}

/** `[text, line]` of every comment. */
export function* comments(file) {
  const text = file.text;
  const seen = new Set();
  for (const node of nodes(file)) {
    for (const range of ts.getLeadingCommentRanges(text, node.getFullStart()) ?? []) {
      if (!seen.has(range.pos)) {
        seen.add(range.pos);
        yield [text.slice(range.pos, range.end), file.getLineAndCharacterOfPosition(range.pos).line + 1];
      }
    }
  }
}

function childrenOf(node) {
  const children = [];
  ts.forEachChild(node, (child) => {
    children.push(child);
  });
  return node.kind === ts.SyntaxKind.SourceFile ? [...children, node.endOfFileToken] : children;
}

function specifierOf(node) {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return node.moduleSpecifier;
  if (ts.isImportTypeNode(node)) return ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined;
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) return node.arguments[0];
  return undefined;
}
