// oxlint with types: .oxlintrc.json.
import { tool } from './tool.mjs';

export function check() {
  return tool('oxlint', ['--format', 'unix', '.']);
}
