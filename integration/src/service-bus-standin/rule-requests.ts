import { types } from './amqp.ts';
import type { Namespace } from './namespace.ts';
import { notAllowed, Problem } from './problem.ts';
import type { Answer } from './request-link.ts';
import type { Filter, Rule } from './rule.ts';
import { compile } from './sql-filter.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface RuleRequest {
  readonly kind: 'add' | 'list' | 'remove';
  readonly body: Fields;
}

/** The service's numbers of what describes a rule. */
const descriptors = {
  rule: 0x137_0000_0004,
  emptyAction: 0x137_0000_0005,
  sqlFilter: 0x13_7000_0006,
  correlationFilter: 0x13_7000_0009,
};

const correlationFields: readonly (readonly [request: string, name: string])[] = [
  ['correlation-id', 'CorrelationId'],
  ['message-id', 'MessageId'],
  ['to', 'To'],
  ['reply-to', 'ReplyTo'],
  ['label', 'Label'],
  ['session-id', 'SessionId'],
  ['reply-to-session-id', 'ReplyToSessionId'],
  ['content-type', 'ContentType'],
];

/** Adds, removes or lists rules of a subscription. */
export function ruleRequest(namespace: Namespace, path: string, { kind, body }: RuleRequest): Answer {
  const subscription = namespace.find(path);
  if (subscription.kind !== 'subscription') {
    throw notAllowed(`The entity '${path}' has no rules.`);
  }
  const name = String(body['rule-name']);
  if (kind === 'list') {
    const rules = [...subscription.rules.values()].slice(
      Number(body['skip']),
      Number(body['skip']) + Number(body['top']),
    );
    return rules.length === 0 ? { status: 204 } : { status: 200, body: { rules: rules.map(described) } };
  }
  if (kind === 'add') {
    if (subscription.rules.has(name)) {
      throw new Problem('com.microsoft:entity-already-exists', `The rule '${name}' already exists.`, 409);
    }
    namespace.setRule(subscription, { name, filter: filterOf(body['rule-description'] as Fields) });
  } else {
    namespace.removeRule(subscription, name);
  }
  return { status: 200 };
}

function filterOf(description: Fields): Filter {
  const sql = description['sql-filter'] as Fields | undefined;
  if (sql !== undefined) {
    const expression = String(sql['expression']);
    compile(expression);
    return { kind: 'sql', expression };
  }
  const fields = (description['correlation-filter'] ?? {}) as Fields;
  const given = correlationFields.filter(([request]) => fields[request] !== undefined && fields[request] !== null);
  return {
    kind: 'correlation',
    system: Object.fromEntries(given.map(([request, name]) => [name, String(fields[request])])),
    properties: (fields['properties'] ?? {}) as Fields,
  };
}

function described({ name, filter }: Rule): object {
  const fields = [describedFilter(filter), types.wrap_described([], descriptors.emptyAction), types.wrap_string(name)];
  return { 'rule-description': types.wrap_described(fields, descriptors.rule) };
}

function describedFilter(filter: Filter): object {
  if (filter.kind === 'sql') {
    return types.wrap_described([filter.expression, 20], descriptors.sqlFilter);
  }
  const fields = correlationFields.map(([, name]) => filter.system[name]);
  return types.wrap_described([...fields, { ...filter.properties }], descriptors.correlationFilter);
}
