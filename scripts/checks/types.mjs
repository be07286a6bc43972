// Compiles the tests. Type tests are among them: `*.test-d.ts` with its `@ts-expect-error` lines is compiled like a test.
import { listFiles, read } from './files.mjs';
import { tool } from './tool.mjs';

export async function check() {
  const files = await listFiles();
  const problems = [];
  // One after the other: each fills a core, and other steps run beside this one.
  for (const project of files.filter((path) => path.endsWith('/test/tsconfig.json'))) {
    const info = `.cache/types/${project.replaceAll('/', '-')}.tsbuildinfo`;
    const args = ['-p', project, '--pretty', 'false', '--incremental', '--tsBuildInfoFile', info];
    problems.push(...(await tool('typescript#tsc', args)));
  }
  return [...problems, ...uncompiled(files), ...emptyTypeTests(files, read)];
}

/** A test folder without a tsconfig.json would go unchecked in silence. */
export function uncompiled(files) {
  const folders = files.flatMap(
    (path) => /^((?:packages\/[^/]+|integration|docs)\/test)\/.*\.ts$/.exec(path)?.[1] ?? [],
  );
  return [...new Set(folders)]
    .filter((folder) => !files.includes(`${folder}/tsconfig.json`))
    .map((folder) => `${folder}: has no tsconfig.json, so nothing compiles it`);
}

/** A type test without a line that must not compile proves nothing about wrong use. */
export function emptyTypeTests(files, readText) {
  return files
    .filter((path) => path.endsWith('.test-d.ts') && !readText(path).includes('@ts-expect-error'))
    .map((path) => `${path}: has no @ts-expect-error, so it refuses nothing`);
}
