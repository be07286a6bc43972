// Rules on the structure of the source that no linter knows. Each has a test in scripts/test that it can fail.
import { adapterRules, missingAdapterFiles } from './adapter-rules.mjs';
import { listFiles, read } from './files.mjs';
import { folderProblems, sourceRules } from './source-rules.mjs';
import { parse } from './syntax.mjs';

const SOURCE = /^(?:packages\/[^/]+|integration)\/src\/.+\.ts$/;

export async function check() {
  const paths = await listFiles();
  return structureProblems(paths, read);
}

/** `path:line: problem [rule]` of everything wrong with the source files among `paths`. */
export function structureProblems(paths, readText) {
  const problems = [...missingAdapterFiles(paths), ...folderProblems(paths)];
  for (const path of paths.filter((candidate) => SOURCE.test(candidate))) {
    const file = { path, syntax: parse(path, readText(path)) };
    for (const { id, check: rule } of [...adapterRules, ...sourceRules]) {
      for (const [line, problem] of rule(file)) problems.push(`${path}:${line}: ${problem} [${id}]`);
    }
  }
  return problems;
}
