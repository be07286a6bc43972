// Nothing in the repository tells of the machine it was written on, and nothing in it is secret.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

import { root, run } from '../bootstrap.mjs';
import { listFiles, read } from './files.mjs';

/** Hosts that a file may link to. A package registry or a mirror is none of them: machines differ in theirs. */
const HOSTS = new Set([
  'amqp.org',
  'cloudevents.io',
  'developercertificate.org',
  'docs.aws.amazon.com',
  'github.com',
  'json-schema.org',
  'learn.microsoft.com',
  'nodejs.org',
  'opensource.org',
  'opentelemetry.io',
  'schemas.microsoft.com',
  'semver.org',
  'standardschema.dev',
  'vitest.dev',
  'www.rabbitmq.com',
  'www.w3.org',
]);
const RESERVED =
  /^(?:localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|\[::1\]|(?:.+\.)?(?:example|test|invalid|localhost|internal)|(?:.+\.)?example\.(?:com|net|org))$/;

const REGISTRY = /\b(?:registry|deb|mirrors?|pypi|index|proxy|repo\d?)\.(?:[a-z\d-]+\.)+(?:org|com|net|io|dev)\b/gi;

const RULES = [
  { id: 'private-path', pattern: /(?<![\w.])\/(?:home|Users)\/[a-z][\w.-]*\/|[A-Z]:\\Users\\/g },
  { id: 'outside-path', pattern: /(?<![\w.])\/work\/\w|(?:\.\.\/)+shared\/\w+\.md/g },
  {
    id: 'secret',
    pattern:
      /-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA(?!IOSFODNN7EXAMPLE\b)[A-Z\d]{16}\b|\bgh[pousr]_\w{30,}|\bnpm_\w{30,}|_authToken=[\w-]{8,}/g,
  },
];

export async function check() {
  const machine = await machineWords();
  const texts = (await listFiles()).map((path) => [path, read(path)]);
  return texts.flatMap(([path, text]) => leaks(path, text, machine));
}

/** `path:line: what [leak]` of what a file gives away; `machine` are words that only this machine knows. */
export function leaks(path, text, machine = []) {
  if (text.includes('\0')) return [];
  return text.split('\n').flatMap((line, index) => {
    const found = RULES.flatMap(({ id, pattern }) => [...line.matchAll(pattern)].map(([what]) => [id, what]));
    found.push(...registries(line));
    // Dependencies say in a lock file where their own homes are.
    if (!path.endsWith('pnpm-lock.yaml')) found.push(...urls(line));
    found.push(...machine.filter((word) => line.includes(word)).map((word) => ['machine', word]));
    return found.map(([id, what]) => `${path}:${index + 1}: ${what} [${id}]`);
  });
}

/** Also without a scheme in front, as in an `.npmrc`. */
function registries(line) {
  return [...line.matchAll(REGISTRY)].filter(([host]) => !RESERVED.test(host)).map(([host]) => ['registry', host]);
}

function* urls(line) {
  for (const [url, login, host] of line.matchAll(
    /\b[a-z][a-z+.-]*:\/\/(?:([^\s/@'"`)<>]+)@)?(\[[^\]]*\]|[a-z\d.-]+)/gi,
  )) {
    const isCode = !host.includes('.') || /^\.|\.$/.test(host);
    if (/^https?:/i.test(url) && !isCode && !HOSTS.has(host) && !RESERVED.test(host)) yield ['host', url];
    if (login?.includes(':') && !login.includes('$') && !isCode && !RESERVED.test(host)) yield ['secret', url];
  }
}

/** The registries that this machine is set up for, its name, and where the repository is. */
async function machineWords() {
  const npm = await run('npm', ['config', 'get', 'registry'], { quiet: true }).catch(() => ({ output: '' }));
  const settings = [npm.output, ...Object.values(process.env), ...aptSources()].join('\n');
  const hosts = [...settings.matchAll(/\bhttps?:\/\/(?:[^\s/@]*@)?([^\s/:,'"]+)/g)].map(([, host]) => host);
  const words = [root.replace(/\/$/, ''), hostname(), ...hosts];
  return [...new Set(words)].filter((word) => word.length > 6 && !HOSTS.has(word) && !RESERVED.test(word));
}

function aptSources() {
  const folder = '/etc/apt/sources.list.d';
  const files = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  return [...files, '/etc/apt/sources.list']
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, 'utf8'));
}
