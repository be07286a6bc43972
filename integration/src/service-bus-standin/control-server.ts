import { createServer, type IncomingMessage, type Server } from 'node:http';

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
  | { readonly command: 'lose-answers'; readonly entity: string; readonly count: number }
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
  const { faults, namespace } = standin;
  switch (command.command) {
    case 'drop-connections':
      return standin.amqp.dropConnections();
    case 'detach-links':
      return standin.amqp.detachLinks(command.entity);
    case 'refuse-sends':
      return faults.refuseSends(command.entity, command.condition, command.description);
    case 'throttle':
      return faults.throttle(command.entities);
    case 'lose-answers':
      return faults.loseAnswers(command.entity, command.count);
    case 'down':
      return standin.goDown();
    case 'up':
      return await standin.comeUp();
    case 'count-connections':
      return standin.amqp.connectionCount;
    case 'create-queue':
      return void namespace.createQueue(command.name, command.properties);
    case 'create-topic':
      return void namespace.createTopic(command.name, command.properties);
    case 'create-subscription':
      return void namespace.createSubscription(command.topic, command.name, command.properties);
  }
}
