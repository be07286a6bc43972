import { spawn } from 'node:child_process';

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Kills the command when it takes longer. @default 60000 */
  readonly withinMs?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Runs a command to its end. Resolves whatever its exit code; `code` is null when it was killed or is not installed. */
export function run(file: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      env: commandEnvironment(options.environment),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.withinMs ?? 60_000,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.once('error', (error) => resolve({ code: null, stdout, stderr: error.message }));
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** Runs a command and resolves with what it printed. Rejects with its last words when it fails. */
export async function output(file: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await run(file, args, options);
  if (result.code === 0) {
    return result.stdout.trim();
  }
  throw new Error(`${file} ${args.slice(0, 2).join(' ')} failed: ${lastLines(result)}`);
}

/** Runs the Docker client. */
export function docker(...args: readonly string[]): Promise<string> {
  return output('docker', args);
}

/** The environment of commands. Also finds those that only root has on its path. */
export function commandEnvironment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`, ...more };
}

/** The last lines that a command wrote, for an error message. */
export function lastLines(result: CommandResult): string {
  const text = result.stderr.trim() || result.stdout.trim();
  return text.split('\n').slice(-5).join('\n') || 'it was stopped after its time';
}
