// The documentation says what the code does: error codes, links and code blocks.
import { existsSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import ts from 'typescript';

import { root } from '../bootstrap.mjs';
import { blockProblems } from './blocks.mjs';
import { listFiles, read } from './files.mjs';
import { anchors, headings, links } from './markdown.mjs';
import { nodes, parse } from './syntax.mjs';

const ERRORS = 'docs/errors.md';
const UNION = 'packages/core/src/driver/errors.ts';

export async function check() {
  const paths = (await listFiles()).filter((path) => path.endsWith('.md') && !path.startsWith('.changeset/'));
  const codes = unionMembers(read(UNION), 'WaybillErrorCode');
  return [
    ...errorProblems(existsSync(join(root, ERRORS)) ? read(ERRORS) : '', codes),
    ...paths.flatMap((path) => linkProblems(path, read(path), contentAt)),
    ...(await blockProblems(paths.filter(hasBlocks))),
  ];
}

/** `docs/errors.md` has a heading for each code, and no other of that level. */
export function errorProblems(markdown, codes) {
  const titles = headings(markdown).filter(({ level }) => level === 2);
  const described = titles.map(({ title }) => title.replaceAll('`', ''));
  return [
    ...codes.filter((code) => !described.includes(code)).map((code) => `${ERRORS}: has no heading "## ${code}"`),
    ...titles
      .filter((_, index) => !codes.includes(described[index]))
      .map(({ title, line }) => `${ERRORS}:${line}: "${title}" is no code in ${UNION}`),
  ];
}

/** Relative links lead to a file, and their anchors to a heading. `look` says what is at a path: text, or nothing. */
export function linkProblems(path, markdown, look) {
  return links(markdown).flatMap(({ target, line }) => {
    if (/^[a-z][a-z+.-]*:/i.test(target)) return [];
    const [file = '', anchor] = target.split('#');
    const linked = file === '' ? path : normalize(join(dirname(path), decodeURIComponent(file))).replace(/\/$/, '');
    const text = file === '' ? markdown : look(linked);
    if (text === undefined) return [`${path}:${line}: ${target} leads nowhere`];
    const leadsOn = anchor === undefined || !linked.endsWith('.md') || anchors(text).includes(anchor);
    return leadsOn ? [] : [`${path}:${line}: ${target}: ${linked} has no such heading`];
  });
}

/** The members of a union of string literals. */
export function unionMembers(text, name) {
  for (const node of nodes(parse('union.ts', text))) {
    if (ts.isTypeAliasDeclaration(node) && node.name.text === name && ts.isUnionTypeNode(node.type)) {
      return node.type.types.map((member) => member.literal.text);
    }
  }
  throw new Error(`There is no union ${name} in ${UNION}`);
}

/** What is at a path: text, nothing in a folder, undefined where there is neither. */
function contentAt(path) {
  const full = join(root, path);
  if (!existsSync(full)) return undefined;
  return statSync(full).isDirectory() ? '' : read(path);
}

/** Pages whose blocks are compiled. A sketch that shall not compile is no `ts` block. */
function hasBlocks(path) {
  return /^(?:README\.md|packages\/[^/]+\/README\.md|docs\/.+\.md)$/.test(path);
}
