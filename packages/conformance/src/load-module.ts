import { createJiti } from 'jiti';

/** Imports a module by its URL, also one in TypeScript on a Node that reads none. */
export function loadModule(url: string): Promise<unknown> {
  const needsHelp = /\.[cm]?ts$/.test(url) && !readsTypeScript();
  return needsHelp ? createJiti(import.meta.url).import(url) : import(url);
}

function readsTypeScript(): boolean {
  return Boolean((process.features as { readonly typescript?: string | false }).typescript);
}
