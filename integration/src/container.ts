import { docker, output } from './command.ts';
import { eventually } from './eventually.ts';

/** Faults of one container, by its id. Each resolves once the engine has done it. */
export interface ContainerControl {
  /** SIGKILL: the process is gone, its data stay. */
  kill(): Promise<void>;
  /** Starts it again after {@link kill}. */
  start(): Promise<void>;
  /** Ends it with SIGTERM and starts it again. */
  restart(): Promise<void>;
  /** Freezes it: connections stay open and nothing answers. */
  pause(): Promise<void>;
  unpause(): Promise<void>;
  /** Runs a command inside; resolves with what it printed, rejects when it fails. */
  exec(command: readonly string[]): Promise<string>;
  /** Removes it with its data, in whatever state it is. */
  stop(): Promise<void>;
}

/** Controls a container of this machine's engine. */
export function controlContainer(id: string): ContainerControl {
  const order = async (...args: readonly string[]): Promise<void> => void (await docker(...args, id));
  return {
    kill: () => order('kill', '--signal', 'KILL'),
    start: () => order('start'),
    restart: () => order('restart', '--time', '30'),
    // Freezing fails now and then on a busy machine ("unable to freeze"), which leaves the container running.
    pause: () => eventually(() => order('pause'), { everyMs: 500 }),
    unpause: () => order('unpause'),
    exec: (command) => output('docker', ['exec', id, ...command]),
    stop: () => order('rm', '--force', '--volumes'),
  };
}

/** Stands for the container of a broker that was given: `stop` leaves it alone, faults reject with what to unset. */
export function withoutContainer(settings: string): ContainerControl {
  const refuse = faultRefused(settings);
  return {
    kill: refuse,
    start: refuse,
    restart: refuse,
    pause: refuse,
    unpause: refuse,
    exec: refuse,
    stop: async () => {},
  };
}

/** Rejects with what to unset, for a fault of a broker that was given. */
export function faultRefused(settings: string): () => Promise<never> {
  return async () => {
    throw new Error(`This fault needs a container: unset ${settings}.`);
  };
}

/** {@link untilReady} for a container that was just created: removes it when it does not get ready. */
export async function readyOrRemoved<T>(id: string, probe: () => Promise<T>): Promise<T> {
  try {
    return await untilReady(id, probe);
  } catch (error) {
    await controlContainer(id).stop();
    throw error;
  }
}

/** Resolves with what `probe` returns once it succeeds. Rejects with the container's last lines when it ended or time is up. */
export async function untilReady<T>(id: string, probe: () => Promise<T>, withinMs = 60_000): Promise<T> {
  let ended = '';
  const outcome = await eventually(
    async () => {
      ended = await docker(
        'inspect',
        '--format',
        '{{if not .State.Running}}ended with code {{.State.ExitCode}}{{end}}',
        id,
      );
      return ended === '' ? { value: await probe() } : { ended };
    },
    { withinMs, everyMs: 100 },
  ).catch((failure: unknown) => ({ ended: String(failure) }));
  if ('value' in outcome) {
    return outcome.value;
  }
  const log = await docker('logs', '--tail', '15', id).catch(String);
  throw new Error(`Container ${id.slice(0, 12)} is not ready: ${outcome.ended}\n${log}`);
}
