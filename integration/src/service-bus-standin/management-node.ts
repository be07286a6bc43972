// Requests to `<entity>/$management`, as in the service's "AMQP 1.0: request-response-based operations".
import { type Content, decode, longArray, timestampArray, types } from './amqp.ts';
import { encodeEntry, type Entry } from './entry.ts';
import type { Mailbox } from './mailbox.ts';
import type { Disposition } from './mailbox-parts.ts';
import type { Namespace } from './namespace.ts';
import { invalid } from './problem.ts';
import type { Answer, RequestHandler } from './request-link.ts';
import { ruleRequest } from './rule-requests.ts';

type Fields = Readonly<Record<string, unknown>>;
type Operation = (body: Fields) => Answer;

/** Answers requests about an entity. */
export function managementNode(namespace: Namespace, path: string): RequestHandler {
  const operations: Readonly<Record<string, Operation>> = {
    ...messageOperations(() => namespace.mailbox(path)),
    ...sessionOperations(() => namespace.mailbox(path)),
    'schedule-message': (body) => schedule(namespace, path, body),
    'cancel-scheduled-message': (body) => {
      namespace.schedule(path).cancelScheduled(sequencesOf(body));
      return { status: 200 };
    },
    'add-rule': (body) => ruleRequest(namespace, path, { kind: 'add', body }),
    'remove-rule': (body) => ruleRequest(namespace, path, { kind: 'remove', body }),
    'enumerate-rules': (body) => ruleRequest(namespace, path, { kind: 'list', body }),
  };
  return ({ application_properties: properties, body }) => {
    const name = String(properties?.['operation']).replace(/^com\.microsoft:/, '');
    const operation = operations[name];
    if (operation === undefined) {
      throw invalid(`There is no operation '${name}'.`);
    }
    return operation((body ?? {}) as Fields);
  };
}

function messageOperations(mailbox: () => Mailbox): Readonly<Record<string, Operation>> {
  return {
    'renew-lock': (body) => {
      const expirations = tokensOf(body).map((token) => mailbox().renew(token));
      return { status: 200, body: { expirations: types.wrap_array(expirations, timestampArray) } };
    },
    'peek-message': (body) => {
      const count = Number(body['message-count']);
      const entries = mailbox().peek(numberOf(body['from-sequence-number']), count, textOf(body['session-id']));
      const messages = entries.map((entry) => ({ message: encodeEntry(entry) }));
      return messages.length === 0 ? { status: 204 } : { status: 200, body: { messages } };
    },
    'receive-by-sequence-number': (body) => {
      const deletes = Number(body['receiver-settle-mode']) === 0;
      const messages = mailbox().receiveDeferred(sequencesOf(body), deletes).map(withToken);
      return { status: 200, body: { messages } };
    },
    'update-disposition': (body) => {
      for (const token of tokensOf(body)) {
        mailbox().settle(token, dispositionOf(body));
      }
      return { status: 200 };
    },
  };
}

function sessionOperations(mailbox: () => Mailbox): Readonly<Record<string, Operation>> {
  const idOf = (body: Fields): string => textOf(body['session-id']) ?? '';
  return {
    'renew-session-lock': (body) => {
      const until = mailbox().sessions.renew(idOf(body));
      return { status: 200, body: { expiration: types.wrap_timestamp(until) } };
    },
    'get-session-state': (body) => {
      return { status: 200, body: { 'session-state': mailbox().sessions.state(idOf(body)) ?? null } };
    },
    'set-session-state': (body) => {
      const state = body['session-state'];
      mailbox().sessions.setState(idOf(body), Buffer.isBuffer(state) ? state : undefined);
      return { status: 200 };
    },
  };
}

function schedule(namespace: Namespace, path: string, body: Fields): Answer {
  const messages = body['messages'] as readonly { readonly message: Buffer }[];
  const contents = messages.map(({ message }): Content => decode(message));
  const sequences = namespace.scheduleAll(path, contents);
  return { status: 200, body: { 'sequence-numbers': types.wrap_array(sequences, longArray) } };
}

function withToken(entry: Entry): object {
  const message = encodeEntry(entry);
  return entry.lock === undefined ? { message } : { message, 'lock-token': types.wrap_uuid(entry.lock.token) };
}

function dispositionOf(body: Fields): Disposition {
  const reason = textOf(body['deadletter-reason']);
  const description = textOf(body['deadletter-description']);
  const modified = body['properties-to-modify'];
  const properties = (modified ?? undefined) as Fields | undefined;
  switch (body['disposition-status']) {
    case 'completed':
      return { kind: 'complete' };
    case 'abandoned':
      return { kind: 'abandon', properties };
    case 'defered':
      return { kind: 'defer', properties };
    case 'suspended':
      return {
        kind: 'dead-letter',
        ...(reason === undefined ? {} : { reason }),
        ...(description === undefined ? {} : { description }),
        ...(properties === undefined ? {} : { properties }),
      };
    default:
      throw invalid(`There is no disposition '${String(body['disposition-status'])}'.`);
  }
}

function tokensOf(body: Fields): Buffer[] {
  return (body['lock-tokens'] as readonly Buffer[]).map((token) => Buffer.from(token));
}

function sequencesOf(body: Fields): number[] {
  return (body['sequence-numbers'] as readonly unknown[]).map(numberOf);
}

function numberOf(value: unknown): number {
  return Buffer.isBuffer(value) ? Number(value.readBigInt64BE()) : Number(value);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
