// Compiles all sources. Lint, packages and documentation are checked against what comes out.
import { tool } from './tool.mjs';

export function check() {
  return tool('typescript#tsc', ['-b', 'packages', 'docs', 'integration', 'benchmarks', '--pretty', 'false']);
}
