// Reads what AWS keeps as JSON about queues and subscriptions. No message passes here.

/** Names our statement in a queue's policy; what else is in there is left as it is. */
const STATEMENT = 'waybill';
const SEND = 'sqs:sendmessage';
const SNS = 'sns.amazonaws.com';

export interface Redrive {
  readonly target: string;
  /** How often a message is received before it is moved. Absent in a subscription. */
  readonly receives?: number;
}

/** Undefined: there is none, or it cannot be read. */
export function readRedrive(text: string | undefined): Redrive | undefined {
  const policy = parseObject(text);
  const target = policy?.['deadLetterTargetArn'];
  if (typeof target !== 'string') return undefined;
  const receives = policy?.['maxReceiveCount'];
  return receives === undefined ? { target } : { target, receives: Number(receives) };
}

export function writeRedrive({ target, receives }: Redrive): string {
  return JSON.stringify({
    deadLetterTargetArn: target,
    ...(receives === undefined ? {} : { maxReceiveCount: receives }),
  });
}

/** The types that a subscription lets in; undefined when it filters by anything else, or by nothing. */
export function readTypes(filterPolicy: string | undefined): readonly string[] | undefined {
  const policy = parseObject(filterPolicy);
  const types: unknown = policy?.['type'];
  if (policy === undefined || Object.keys(policy).length !== 1 || !Array.isArray(types)) return undefined;
  return types.every((type): type is string => typeof type === 'string') ? types : undefined;
}

/** The same text from every process that wants the same types. */
export function writeTypes(types: Iterable<string>): string {
  return JSON.stringify({ type: [...new Set(types)].toSorted() });
}

/** Which of `topics` (ARNs) may not send to the queue yet. */
export function missingSenders(policy: string | undefined, topics: readonly string[]): readonly string[] {
  const statements = statementsOf(parseObject(policy));
  return topics.filter((topic) => !statements.some((statement) => letsIn(statement, topic)));
}

/** `policy` with a statement that lets `topics` (ARNs) send, beside those that it let send before. */
export function withSenders(
  policy: string | undefined,
  { queueArn, topics }: { readonly queueArn: string; readonly topics: readonly string[] },
): string {
  const document = parseObject(policy) ?? {};
  const statements = statementsOf(document);
  const before = statements.filter(({ Sid }) => Sid === STATEMENT).flatMap((statement) => sourcesOf(statement));
  const ours = {
    Sid: STATEMENT,
    Effect: 'Allow',
    Principal: { Service: SNS },
    Action: 'sqs:SendMessage',
    Resource: queueArn,
    Condition: { ArnEquals: { 'aws:SourceArn': [...new Set([...before, ...topics])].toSorted() } },
  };
  return JSON.stringify({
    Version: '2012-10-17',
    ...document,
    Statement: [...statements.filter(({ Sid }) => Sid !== STATEMENT), ours],
  });
}

type Statement = Readonly<Record<string, unknown>>;

function letsIn(statement: Statement, topic: string): boolean {
  if (statement['Effect'] !== 'Allow') return false;
  const { Principal: principal } = statement;
  const services =
    principal === '*' ? ['*'] : [...listOf(valueOf(principal, 'Service')), ...listOf(valueOf(principal, 'AWS'))];
  if (!services.some((service) => service === SNS || service === '*')) return false;
  const actions = listOf(statement['Action']).map((action) => action.toLowerCase());
  if (!actions.some((action) => matches(action, SEND))) return false;
  const sources = sourcesOf(statement);
  return statement['Condition'] === undefined || sources.some((source) => matches(source, topic));
}

/** The ARNs that a statement's condition is about, by whichever operator. */
function sourcesOf(statement: Statement): readonly string[] {
  const condition = statement['Condition'];
  if (typeof condition !== 'object' || condition === null) return [];
  return Object.entries(condition)
    .filter(([operator]) => /^(?:Arn|String)(?:Equals|Like)$/.test(operator))
    .flatMap(([, values]) => listOf(valueOf(values, 'aws:SourceArn') ?? valueOf(values, 'AWS:SourceArn')));
}

/** As policies match: `*` is any text. */
function matches(pattern: string, text: string): boolean {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(`^${parts.join('.*')}$`).test(text);
}

function statementsOf(document: Readonly<Record<string, unknown>> | undefined): readonly Statement[] {
  const statements = document?.['Statement'];
  const list: readonly unknown[] = Array.isArray(statements) ? statements : [statements];
  return list.filter((statement): statement is Statement => typeof statement === 'object' && statement !== null);
}

function valueOf(container: unknown, name: string): unknown {
  return typeof container === 'object' && container !== null
    ? Object.entries(container).find(([key]) => key === name)?.[1]
    : undefined;
}

/** Policies write one value as itself and several as a list. */
function listOf(value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.filter((item): item is string => typeof item === 'string');
}

function parseObject(text: string | undefined): Readonly<Record<string, unknown>> | undefined {
  if (text === undefined || text === '') return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}
