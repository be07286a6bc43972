import { createServer, type IncomingMessage, type Server } from 'node:http';

import type { Answered } from './faults.ts';
import type { Namespace } from './namespace.ts';
import type { Properties } from './properties.ts';
import type { Standin } from './standin.ts';

/** What the control port takes: one command per POST, in JSON. */
export type Command =
  | { readonly command: 'drop-connections' | 'down' | 'up' | 'count-connections' }
  | { readonly command: 'detach-links'; readonly entity: string }
  | {
      readonly command: 'refuse-sends';
      readonly entity: string;
      readonly condition?: string;
      readonly description: string;
    }
  /** No entities ends it. */
  | { readonly command: 'throttle'; readonly entities: readonly string[] | 'everything' }
  | { readonly command: 'lose-answers'; readonly entity: string; readonly count: number; readonly of: Answered }
  | { readonly command: 'create-queue' | 'create-topic'; readonly name: string; readonly properties: Properties }
  | {
      readonly command: 'create-subscription';
      readonly topic: string;
      readonly name: string;
      readonly properties: Properties;
    };

/** Takes commands for faults on a port of 127.0.0.1, which is not one of the service. Resolves once it listens. */
export async function listenForControl(standin: Standin, port: number): Promise<Server> {
  const server = createServer((request, response) => {
    void answer(standin, request).then(
      (body) => response.end(JSON.stringify({ result: body ?? null })),
      (error: unknown) => response.writeHead(400).end(String(error)),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}

async function answer(standin: Standin, request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) {
    chunks.push(chunk as Buffer);
  }
  return await run(standin, JSON.parse(Buffer.concat(chunks).toString('utf8')) as Command);
}

async function run(standin: Standin, command: Command): Promise<unknown> {
  const { faults } = standin;
  let result: unknown;
  switch (command.command) {
    case 'drop-connections':
      standin.amqp.dropConnections();
      break;
    case 'detach-links':
      standin.amqp.detachLinks(command.entity);
      break;
    case 'refuse-sends':
      faults.refuseSends(command.entity, command.condition, command.description);
      break;
    case 'throttle':
      faults.throttle(command.entities);
      break;
    case 'lose-answers':
      faults.loseAnswers(command.entity, command.count, command.of);
      break;
    case 'down':
      standin.goDown();
      break;
    case 'up':
      await standin.comeUp();
      break;
    case 'count-connections':
      result = standin.amqp.connectionCount;
      break;
    case 'create-queue':
    case 'create-topic':
    case 'create-subscription':
      create(standin.namespace, command);
  }
  return result;
}

function create(namespace: Namespace, command: Extract<Command, { readonly properties: Properties }>): void {
  switch (command.command) {
    case 'create-queue':
      namespace.createQueue(command.name, command.properties);
      break;
    case 'create-topic':
      namespace.createTopic(command.name, command.properties);
      break;
    case 'create-subscription':
      namespace.createSubscription(command.topic, command.name, command.properties);
      break;
  }
  namespace.flush();
}
