import { inspect } from 'node:util';

import type { ObserveEvent } from '@waybill/core';
import { expect, onTestFinished, vi } from 'vitest';

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** The password in every form that a library may hold it in, and parts of it that a wrong split of the URL would print. */
function formsOf({ user, password: secret }: Credentials): readonly string[] {
  const base64 = (text: string): string => Buffer.from(text).toString('base64').replace(/=+$/, '');
  const json = JSON.stringify(secret).slice(1, -1);
  return [
    secret,
    encodeURIComponent(secret),
    encodeURI(secret),
    json,
    inspect(secret).slice(1, -1),
    base64(secret),
    base64(`${user}:${secret}`),
    base64(`\0${user}\0${secret}`),
    ...secret.split(/[@/?# ]/).filter((part) => part.length > 4),
  ];
}

/** Everything that one text may show of a value: causes, stacks, hidden members, JSON. */
function textOf(value: unknown): string {
  const parts = [inspect(value, { depth: 12, showHidden: true, maxStringLength: null, maxArrayLength: null })];
  for (let error = value; error instanceof Error; error = error.cause) {
    parts.push(error.message, String(error), String(error.stack), JSON.stringify(error));
  }
  return parts.join('\n');
}

/** Collects what is written to the console and the two streams while a test runs. */
export function watchOutput(): () => string {
  const written: string[] = [];
  const watch = (...parts: unknown[]): void =>
    void written.push(parts.map((part) => (typeof part === 'string' ? part : textOf(part))).join(' '));
  const spies = [
    ...(['log', 'info', 'warn', 'error', 'debug', 'trace'] as const).map((name) =>
      vi.spyOn(console, name).mockImplementation(watch),
    ),
    ...[process.stdout, process.stderr].map((stream) =>
      vi.spyOn(stream, 'write').mockImplementation((chunk) => {
        watch(String(chunk));
        return true;
      }),
    ),
  ];
  onTestFinished(() => spies.forEach((spy) => spy.mockRestore()));
  return () => written.join('\n');
}

export interface Shown {
  readonly errors: readonly unknown[];
  readonly events?: readonly ObserveEvent[];
  readonly health?: unknown;
  readonly output: string;
  readonly bus?: object;
}

/** Fails where one of these texts shows the password. */
export function expectNoSecret(credentials: Credentials, shown: Shown): void {
  const texts: Record<string, string> = {
    errors: shown.errors.map(textOf).join('\n'),
    events: (shown.events ?? [])
      .map((event) => `${textOf(event)}\n${'error' in event ? textOf(event.error) : ''}`)
      .join('\n'),
    health: `${textOf(shown.health)}\n${JSON.stringify(shown.health)}`,
    output: shown.output,
    bus: `${JSON.stringify(shown.bus)}\n${inspect(shown.bus)}`,
  };
  for (const [where, text] of Object.entries(texts)) {
    for (const form of formsOf(credentials)) {
      const at = text.indexOf(form);
      expect(at < 0 ? 'nothing' : `${where}: …${text.slice(Math.max(at - 120, 0), at + form.length + 40)}…`).toBe(
        'nothing',
      );
    }
  }
}
