// knip: exports, files and dependencies that nobody uses, and dependencies that nobody lists.
import { tool } from './tool.mjs';

export function check() {
  return tool('knip', ['--no-progress', '--no-config-hints']);
}
