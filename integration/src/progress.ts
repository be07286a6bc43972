/** Receives one finished line at a time, without its line end. */
export type Progress = (line: string) => void;

/** Drops every line. */
export const silent: Progress = () => {};

/** Writes each line to standard output with the seconds since `startedAt`. */
export function printProgress(startedAt: number = Date.now()): Progress {
  return (line) => {
    process.stdout.write(`${seconds(Date.now() - startedAt).padStart(8)}  ${line}\n`);
  };
}

/** Passes each line on once, so that starts side by side do not tell the same thing. */
export function withoutRepeats(progress: Progress): Progress {
  const told = new Set<string>();
  return (line) => {
    if (!told.has(line)) {
      told.add(line);
      progress(line);
    }
  };
}

/** Renders milliseconds as seconds with one digit. */
export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
