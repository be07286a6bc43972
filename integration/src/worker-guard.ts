/** Environment variable that tells a worker the pid of the process it must not outlive. */
export const parentSetting = 'WAYBILL_WORKER_PARENT';

/**
 * A module for `--import` that ends its process after `lifeMs`, or soon after its parent died. Keeps no process alive.
 * Watches the parent's pid, because a listener for `disconnect` would keep the process running.
 */
export function lifeGuard(lifeMs: number): string {
  const source = `
    const parent = Number(process.env.${parentSetting});
    const end = () => process.kill(process.pid, 'SIGKILL');
    setInterval(() => process.ppid === parent || end(), 250).unref();
    setTimeout(end, ${lifeMs}).unref();
  `;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}
