import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

import type { Tls } from './amqp-server.ts';
import { errorBody, feed } from './atom.ts';
import { entityEntry, readFirstRule, readProperties, readRule, ruleEntry } from './descriptions.ts';
import type { Entity, Namespace } from './namespace.ts';
import { entityNotFound, invalid, Problem, unauthorized } from './problem.ts';
import { type Access, allows, verify } from './token.ts';
import type { Subscription } from './topic.ts';

interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: string;
  /** Whether it changes what is there. */
  readonly isUpdate: boolean;
}

interface Reply {
  readonly status: number;
  readonly body: string;
}

const notFoundFeed = 'https://localhost/';

export interface ManagementOptions {
  readonly namespace: Namespace;
  readonly access: Access;
  readonly tls?: Tls;
}

const KEEP_ALIVE_MS = 240_000;

/** Speaks the service's management over HTTP, or HTTPS, on a port of 127.0.0.1. Resolves once it listens. */
export async function listenForManagement(options: ManagementOptions, port: number): Promise<Server> {
  const { namespace, access, tls } = options;
  const listener: RequestListener = (request, response) => {
    void answer(namespace, access, request).then((reply) => {
      namespace.flush();
      write(response, reply);
    });
  };
  const server =
    tls === undefined ? createServer(listener) : createTlsServer({ key: tls.key, cert: tls.certificate }, listener);
  // A connection that a client is about to use again must not end under it: Node ends idle ones after 5 s.
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}

export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

async function answer(namespace: Namespace, access: Access, request: IncomingMessage): Promise<Reply> {
  try {
    const body = await bodyOf(request);
    const url = new URL(request.url ?? '/', 'http://localhost');
    const call: Call = {
      method: request.method ?? 'GET',
      path: decodeURIComponent(url.pathname).replaceAll(/^\/+|\/+$/g, ''),
      query: url.searchParams,
      body,
      isUpdate: request.headers['if-match'] === '*',
    };
    demandManage(access, request.headers.authorization ?? '', call.path);
    return handle(namespace, call);
  } catch (error) {
    const { status, description } = error instanceof Problem ? error : { status: 500, description: String(error) };
    return { status, body: errorBody(status, description) };
  }
}

function demandManage(access: Access, authorization: string, path: string): void {
  const grant = verify(access, authorization.replace(/^Bearer /, ''));
  if (!allows([{ ...grant, scope: grant.scope === path.toLowerCase() ? grant.scope : '' }], 'Manage', path)) {
    throw unauthorized('Manage,EntityRead claims required for this operation.');
  }
}

function handle(namespace: Namespace, call: Call): Reply {
  const [, topic, subscription, rule] =
    /^(.+?)\/Subscriptions(?:\/([^/]+?))?(?:\/Rules(?:\/(.+))?)?$/i.exec(call.path) ?? [];
  if (/\/Rules(?:\/|$)/i.test(call.path)) {
    const found = namespace.find(`${topic}/Subscriptions/${subscription}`);
    return handleRule(namespace, { subscription: found as Subscription, name: rule }, call);
  }
  switch (call.method) {
    case 'PUT':
      return put(namespace, call, topic === undefined ? undefined : [topic, subscription ?? '']);
    case 'DELETE':
      namespace.remove(call.path);
      return { status: 200, body: '' };
    case 'GET':
      return get(namespace, call, subscription === undefined ? topic : undefined);
    default:
      throw invalid(`SubCode=40000. ${call.method} is no method of management.`);
  }
}

function put(namespace: Namespace, call: Call, subscription: readonly [string, string] | undefined): Reply {
  const kind = kindOf(call.body);
  const properties = readProperties(call.body, kind);
  if (call.isUpdate) {
    return { status: 200, body: entityEntry(namespace.update(call.path, properties)) };
  }
  return { status: 201, body: entityEntry(create()) };

  function create(): Entity {
    if (subscription !== undefined) {
      return namespace.createSubscription(...subscription, properties, readFirstRule(call.body));
    }
    return kind === 'queue'
      ? namespace.createQueue(call.path, properties)
      : namespace.createTopic(call.path, properties);
  }
}

function kindOf(xml: string): Entity['kind'] {
  if (xml.includes('<SubscriptionDescription')) {
    return 'subscription';
  }
  return xml.includes('<TopicDescription') ? 'topic' : 'queue';
}

function get(namespace: Namespace, call: Call, topicOfFeed: string | undefined): Reply {
  if (/^\$Resources\/queues$/i.test(call.path)) {
    return page(call, namespace.queues.map(entityEntry));
  }
  if (/^\$Resources\/topics$/i.test(call.path)) {
    return page(call, namespace.topics.map(entityEntry));
  }
  if (/^\$namespaceinfo$/i.test(call.path)) {
    throw invalid('SubCode=40000. The stand-in tells nothing about its namespace.');
  }
  if (topicOfFeed !== undefined) {
    return page(call, [...namespace.topic(topicOfFeed).subscriptions.values()].map(entityEntry));
  }
  return getEntity(namespace, call.path);
}

/** The service answers with an empty feed for an entity that is not there. */
function getEntity(namespace: Namespace, path: string): Reply {
  try {
    return { status: 200, body: entityEntry(namespace.find(path)) };
  } catch (error) {
    if (error instanceof Problem && error.status === 404 && !path.includes('/')) {
      return { status: 200, body: feed(notFoundFeed, []) };
    }
    throw error;
  }
}

interface RuleOfCall {
  readonly subscription: Subscription;
  /** None for all of them. */
  readonly name: string | undefined;
}

function handleRule(namespace: Namespace, { subscription, name }: RuleOfCall, call: Call): Reply {
  const { rules, path } = subscription;
  if (name === undefined) {
    return page(
      call,
      [...rules.values()].map((rule) => ruleEntry(path, rule)),
    );
  }
  const found = rules.get(name);
  if (call.method === 'PUT') {
    if (found !== undefined && !call.isUpdate) {
      throw new Problem(
        'com.microsoft:entity-already-exists',
        `SubCode=40900. The rule '${name}' already exists.`,
        409,
      );
    }
    const rule = { ...readRule(call.body), name };
    namespace.setRule(subscription, rule);
    return { status: found === undefined ? 201 : 200, body: ruleEntry(path, rule) };
  }
  if (found === undefined) {
    throw entityNotFound(`${path}/Rules/${name}`);
  }
  if (call.method === 'DELETE') {
    namespace.removeRule(subscription, name);
    return { status: 200, body: '' };
  }
  return { status: 200, body: ruleEntry(path, found) };
}

function page(call: Call, entries: readonly string[]): Reply {
  const skip = Number(call.query.get('$skip') ?? 0);
  const top = Number(call.query.get('$top') ?? 100);
  const next = skip + top < entries.length ? `?$skip=${skip + top}&$top=${top}` : undefined;
  return { status: 200, body: feed(`https://localhost/${call.path}`, entries.slice(skip, skip + top), next) };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) {
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function write(response: ServerResponse, { status, body }: Reply): void {
  response.writeHead(status, { 'content-type': 'application/atom+xml;type=entry;charset=utf-8' });
  response.end(body);
}
