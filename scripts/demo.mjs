import { chdir, env } from 'node:process';
import { build, ensureDependencies, ensureNode, main } from './bootstrap.mjs';

await main(async () => {
  ensureNode();
  await ensureDependencies();
  await build(['docs'], { check: false });
  // npm starts scripts in the repository's folder; file names are meant from where the user is.
  if (env.INIT_CWD !== undefined) chdir(env.INIT_CWD);
  await import('../docs/dist/orders/start.js');
});
