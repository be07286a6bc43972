// Entities as management tells them.
import {
  child,
  countDetails,
  elements,
  entry,
  keyValues,
  leaves,
  readEntry,
  readKeyValues,
  textOf,
  typed,
  type XmlNode,
} from './atom.ts';
import type { Entity } from './namespace.ts';
import type { Properties } from './properties.ts';
import type { Filter, Rule } from './rule.ts';
import { compile } from './sql-filter.ts';
import type { Store } from './store.ts';

type Kind = Entity['kind'];

const names: Readonly<Record<Kind, string>> = {
  queue: 'QueueDescription',
  topic: 'TopicDescription',
  subscription: 'SubscriptionDescription',
};

const filterFields = [
  'CorrelationId',
  'MessageId',
  'To',
  'ReplyTo',
  'Label',
  'SessionId',
  'ReplyToSessionId',
  'ContentType',
];

export function entityEntry(entity: Entity): string {
  const dates = { CreatedAt: entity.createdAt.toISOString(), UpdatedAt: entity.createdAt.toISOString() };
  const inner = [
    elements({ ...entity.properties }),
    elements({ ...counts(entity), ...dates, AccessedAt: new Date().toISOString() }),
    entity.kind === 'topic' ? countDetails({ ScheduledMessageCount: entity.schedule.scheduledCount }) : details(entity),
  ].join('');
  const title = entity.path.replace(/^.*\/Subscriptions\//, '');
  return entry({ id: `https://localhost/${entity.path}`, title, description: names[entity.kind], inner });
}

/** What a description sets. Throws for one of another kind. */
export function readProperties(xml: string, kind: Kind): Properties {
  return leaves(readEntry(xml, names[kind]));
}

/** The rule that a subscription is to start with, if its description has one. */
export function readFirstRule(xml: string): Rule | undefined {
  const node = child(readEntry(xml, names.subscription), 'DefaultRuleDescription');
  return node === undefined ? undefined : ruleOf(node);
}

export function readRule(xml: string): Rule {
  return ruleOf(readEntry(xml, 'RuleDescription'));
}

export function ruleEntry(path: string, rule: Rule): string {
  const { filter, action, name } = rule;
  const inner = [
    filter.kind === 'sql' ? sqlFilter(filter.expression) : correlationFilter(filter),
    action === undefined
      ? typed('Action', 'EmptyRuleAction', '')
      : typed('Action', 'SqlRuleAction', elements({ SqlExpression: action })),
    elements({ CreatedAt: new Date().toISOString(), Name: name }),
  ].join('');
  return entry({ id: `https://localhost/${path}/Rules/${name}`, title: name, description: 'RuleDescription', inner });
}

function counts(entity: Entity): Record<string, string> {
  if (entity.kind === 'topic') {
    return { SizeInBytes: '0', SubscriptionCount: String(entity.subscriptions.size) };
  }
  const { main, dead, transferDead } = entity;
  const total = main.activeCount + main.scheduledCount + dead.activeCount + transferDead.activeCount;
  return { ...(entity.kind === 'queue' ? { SizeInBytes: '0' } : {}), MessageCount: String(total) };
}

function details({ main, dead, transferDead }: Store): string {
  return countDetails({
    ActiveMessageCount: main.activeCount,
    DeadLetterMessageCount: dead.activeCount,
    ScheduledMessageCount: main.scheduledCount,
    TransferMessageCount: 0,
    TransferDeadLetterMessageCount: transferDead.activeCount,
  });
}

function sqlFilter(expression: string): string {
  return typed('Filter', 'SqlFilter', elements({ SqlExpression: expression, CompatibilityLevel: '20' }));
}

function correlationFilter({ system, properties }: Extract<Filter, { kind: 'correlation' }>): string {
  const fields = Object.fromEntries(filterFields.map((name) => [name, system[name]]));
  return typed('Filter', 'CorrelationFilter', elements(fields) + keyValues('Properties', properties));
}

function ruleOf(node: XmlNode): Rule {
  const filter = child(node, 'Filter');
  const expression = textOf(child(filter, 'SqlExpression'));
  const action = textOf(child(child(node, 'Action'), 'SqlExpression'));
  if (expression !== undefined) {
    compile(expression);
  }
  return {
    name: textOf(child(node, 'Name')) ?? '$Default',
    filter: expression === undefined ? correlationOf(filter) : { kind: 'sql', expression },
    ...(action === undefined ? {} : { action }),
  };
}

function correlationOf(node: XmlNode | undefined): Filter {
  const given = filterFields.map((name) => [name, textOf(child(node, name))] as const);
  return {
    kind: 'correlation',
    system: Object.fromEntries(given.filter((pair): pair is readonly [string, string] => pair[1] !== undefined)),
    properties: readKeyValues(child(node, 'Properties')),
  };
}
