import { readFile } from 'node:fs/promises';
import { z } from 'zod';

/** A line of input: an order of some version, or why it is none. Whether an order fits its schema, `publish` says. */
export type Line =
  | { readonly number: number; readonly version: number; readonly order: Order }
  | { readonly number: number; readonly problem: string };

export type Order = z.output<typeof orderLine>['order'];

const orderLine = z.object({ version: z.int().positive(), order: z.looseObject({ orderId: z.string() }) });

const WHY = new Map([
  ['EACCES', 'it may not be read'],
  ['EISDIR', 'it is a folder'],
  ['ENOENT', 'there is no such file'],
]);

/** Empty lines are skipped. Throws one sentence for a file that cannot be read. */
export async function readLines(file: string): Promise<readonly Line[]> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const { code = String(cause) } = cause as NodeJS.ErrnoException;
    throw new Error(`Cannot read ${file}: ${WHY.get(code) ?? code}.`, { cause });
  });
  return text.split('\n').flatMap((line, index) => (line.trim() === '' ? [] : [parse(line, index + 1)]));
}

function parse(line: string, number: number): Line {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { number, problem: 'It is not JSON.' };
  }
  const result = orderLine.safeParse(value);
  if (result.success) return { number, ...result.data };
  return { number, problem: 'It is not {"version": 1, "order": {"orderId": "…", …}}.' };
}
