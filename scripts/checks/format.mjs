// oxfmt, reading only: `pnpm format` writes.
import { tool } from './tool.mjs';

export function check() {
  return tool('oxfmt', ['--list-different', '.']);
}
