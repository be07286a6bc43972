// Compiles the TypeScript blocks of the documentation against the built packages, as a reader's own files.
//
// A block is a module of its own. ` ```ts continues ` goes on where the last block of its page ended; ` ```ts file.ts `
// is a file that the other blocks of its page may import.
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { root, run } from '../bootstrap.mjs';
import { read } from './files.mjs';
import { blocks } from './markdown.mjs';

const folder = '.cache/blocks';
const at = (...parts) => join(root, folder, ...parts);
const UNCHECKED = new Set(['typescript', 'js', 'javascript', 'mts', 'tsx']);

const tsconfig = {
  extends: '../../tsconfig.base.json',
  compilerOptions: {
    noEmit: true,
    composite: false,
    allowImportingTsExtensions: true,
    rewriteRelativeImportExtensions: false,
    isolatedDeclarations: false,
    declaration: false,
    declarationMap: false,
    noUnusedLocals: false,
    noUnusedParameters: false,
  },
  include: ['**/*.ts'],
};

export async function blockProblems(paths) {
  const pages = paths.map((path) => ({ path, ...modulesOf(path, read(path)) }));
  const sources = write(pages);
  const args = [join(root, 'node_modules/typescript/bin/tsc'), '-p', at('tsconfig.json'), '--pretty', 'false'];
  const { code, output } = await run(process.execPath, args, { quiet: true });
  const problems = pages.flatMap((page) => page.problems);
  return code === 0 ? problems : [...problems, placed(output, sources)];
}

/** The modules that the blocks of a page make: `{ name, lines: [{ text, line }] }`, and what is wrong with the blocks. */
export function modulesOf(path, markdown) {
  const modules = [];
  const problems = [];
  for (const { language, info, line, text } of blocks(markdown)) {
    if (UNCHECKED.has(language)) problems.push(`${path}:${line - 1}: write \`\`\`ts, so that it is compiled`);
    if (language === 'ts') {
      const lines = text.split('\n').map((content, index) => ({ text: content, line: line + index }));
      const last = modules.at(-1);
      if (info === 'continues' && last !== undefined) last.lines.push(...lines);
      else if (info === '' || /^[\w-]+\.ts$/.test(info)) modules.push({ name: info || `line-${line}.ts`, lines });
      else problems.push(`${path}:${line - 1}: "${info}" is neither a file name nor "continues" after another block`);
    }
  }
  return { modules, problems };
}

/** Puts the compiler's `file(line,column)` back on the page that the line is from. */
export function placed(output, sources) {
  return output.trim().replaceAll(/^(\S+?\.ts)\((\d+),(\d+)\)/gm, (whole, file, line) => {
    const source = sources.get(file.slice(file.indexOf(`${folder}/`) + folder.length + 1));
    return source === undefined ? whole : `${source.path}:${source.lines[Number(line) - 1]?.line ?? '?'}`;
  });
}

function write(pages) {
  rmSync(at(), { recursive: true, force: true });
  mkdirSync(at(), { recursive: true });
  // What an application would have installed.
  symlinkSync(join(root, 'docs/node_modules'), at('node_modules'));
  writeFileSync(at('package.json'), '{ "type": "module" }\n');
  writeFileSync(at('tsconfig.json'), JSON.stringify(tsconfig));
  writeFileSync(at('empty.ts'), 'export {};\n');
  const sources = new Map();
  for (const { path, modules } of pages) {
    const page = path.replaceAll(/[^\w]+/g, '-');
    mkdirSync(at(page), { recursive: true });
    for (const { name, lines } of modules) {
      sources.set(`${page}/${name}`, { path, lines });
      writeFileSync(at(page, name), `${lines.map(({ text }) => text).join('\n')}\n`);
    }
  }
  return sources;
}
