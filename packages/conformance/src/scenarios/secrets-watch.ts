import { inspect } from 'node:util';
import type { Driver } from '@waybill/core';
import type { Kit } from '../kit.ts';
import { wrapDriver } from '../wrap-driver.ts';

/** Held by every driver of these scenarios, as real ones hold the credentials of their broker. */
const PLANTED = 'planted@secret/1';
/** What is thrown away at the end of a secret in base64: its last characters depend on what follows. */
const LAST_GROUP = 4;

/** Everything that an application could see or print while a scenario runs, searched for credentials. */
export class SecretsWatch implements Disposable {
  readonly #kit: Kit;
  readonly #forms: readonly string[];
  readonly #listening: (text: string) => void;
  readonly #found: string[] = [];
  #errors = 0;

  constructor(kit: Kit, more: readonly string[] = []) {
    this.#kit = kit;
    this.#forms = [...(kit.harness.secrets ?? []), ...more, PLANTED].flatMap(formsOf);
    this.#listening = (text) => this.#look('the console', text);
    listeners.add(this.#listening);
    listen();
  }

  /** Plants a secret in a driver. */
  readonly seam = (driver: Driver): Driver => {
    const url = `broker://user:${encodeURIComponent(PLANTED)}@host`;
    return wrapDriver(driver, { url, password: PLANTED } as unknown as Partial<Driver>);
  };

  /** What `work` rejected with, looked at. Fails the scenario where it resolved. */
  async rejected(what: string, work: () => unknown): Promise<{ readonly code?: string }> {
    try {
      await work();
    } catch (error) {
      this.error(what, error);
      return error as { readonly code?: string };
    }
    this.#kit.check(false, `${what} is expected to fail`);
    return {};
  }

  error(what: string, error: unknown): void {
    this.#errors += 1;
    this.look(what, error);
  }

  /** Looks at all that is printed of a value, by whatever prints it. */
  look(what: string, value: unknown): void {
    for (const text of textsOf(value)) this.#look(what, text);
  }

  /** Looks at all events. Fails the scenario if anything showed a secret, or if there were too few errors to tell. */
  check(leastErrors: number): void {
    for (const event of this.#kit.events) {
      if ('error' in event && event.error !== undefined) this.error(`event ${event.name}`, event.error);
      this.look(`event ${event.name}`, event);
    }
    this.#kit.same([...new Set(this.#found)], [], 'where a secret shows');
    this.#kit.check(this.#errors >= leastErrors, `at least ${leastErrors} errors are looked at, not ${this.#errors}`);
  }

  [Symbol.dispose](): void {
    listeners.delete(this.#listening);
    if (listeners.size === 0) unlisten();
  }

  #look(what: string, text: string): void {
    if (this.#forms.some((form) => text.includes(form))) this.#found.push(what);
  }
}

/** A secret as it may turn up: bare, in a URL, in JSON, in base64 behind other bytes. */
function formsOf(secret: string): readonly string[] {
  const forms = [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
  for (const before of [0, 1, 2]) {
    const encoded = Buffer.from('x'.repeat(before) + secret).toString('base64');
    forms.push(encoded.slice(before === 0 ? 0 : before + 1, -LAST_GROUP));
  }
  return [...new Set(forms)].filter(({ length }) => length > 4);
}

function textsOf(value: unknown, depth = 0): readonly string[] {
  const texts = [String(value), inspect(value, { depth: 5, maxArrayLength: null, maxStringLength: null }), json(value)];
  if (!(value instanceof Error) || depth > 10) return texts;
  const { message, stack, cause } = value;
  const failures =
    'failures' in value && Array.isArray(value.failures)
      ? (value.failures as readonly { readonly error: unknown }[])
      : [];
  return [
    message,
    stack ?? '',
    ...texts,
    ...[cause, ...failures.map(({ error }) => error)].flatMap((inner) =>
      inner === undefined ? [] : textsOf(inner, depth + 1),
    ),
  ];
}

function json(value: unknown): string {
  try {
    return JSON.stringify(value) ?? '';
  } catch {
    return '';
  }
}

const listeners = new Set<(text: string) => void>();
let unlisten: () => void = () => undefined;

/** Scenarios run beside each other: one tap for all of them. */
function listen(): void {
  if (listeners.size > 1) return;
  const restores = [process.stdout, process.stderr].map((stream) => {
    const write = stream.write.bind(stream);
    stream.write = (chunk: string | Uint8Array, ...rest: []) => {
      for (const listener of listeners) listener(String(chunk));
      return write(chunk, ...rest);
    };
    return (): void => {
      stream.write = write;
    };
  });
  unlisten = (): void => restores.forEach((restore) => restore());
}
