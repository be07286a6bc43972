import { spawn } from 'node:child_process';

// Starts a process under the guard of its first argument and tells its pid.
const child = spawn(process.execPath, ['--import', process.argv[2], '--eval', 'setInterval(() => {}, 1000)'], {
  env: { ...process.env, WAYBILL_WORKER_PARENT: String(process.pid) },
  stdio: 'ignore',
});
process.stdout.write(String(child.pid));
setInterval(() => {}, 1000);
