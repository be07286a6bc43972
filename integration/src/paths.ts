import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** A file in the folder of the image recipes. */
export function imageFile(name: string): string {
  return join(root, 'images', name);
}

/** A file in the folder for state and logs, which is created when it is missing. */
export function cacheFile(name: string): string {
  const folder = join(root, '.cache');
  mkdirSync(folder, { recursive: true });
  return join(folder, name);
}
