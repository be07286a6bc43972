import type { Content } from './amqp.ts';
import { matchesSql } from './sql-filter.ts';

export interface Rule {
  readonly name: string;
  readonly filter: Filter;
  /** Kept and told, not run. */
  readonly action?: string;
}

export type Filter =
  | { readonly kind: 'sql'; readonly expression: string }
  | {
      readonly kind: 'correlation';
      /** By the names of management, such as `Label` for the subject. */
      readonly system: Readonly<Record<string, string>>;
      readonly properties: Readonly<Record<string, unknown>>;
    };

export const everything: Filter = { kind: 'sql', expression: '1=1' };

const systemProperties: Readonly<Record<string, keyof Content>> = {
  correlationid: 'correlation_id',
  messageid: 'message_id',
  to: 'to',
  replyto: 'reply_to',
  label: 'subject',
  subject: 'subject',
  sessionid: 'group_id',
  replytosessionid: 'reply_to_group_id',
  contenttype: 'content_type',
};

function systemProperty(content: Content, name: string): unknown {
  const field = systemProperties[name.toLowerCase()];
  return field === undefined ? undefined : content[field];
}

/** All conditions of a correlation filter must hold. */
export function matches(filter: Filter, content: Content): boolean {
  if (filter.kind === 'sql') {
    return matchesSql(filter.expression, {
      system: (name) => systemProperty(content, name),
      user: (name) => content.application_properties?.[name],
    });
  }
  return (
    Object.entries(filter.system).every(([name, value]) => systemProperty(content, name) === value) &&
    Object.entries(filter.properties).every(([name, value]) => isSame(content.application_properties?.[name], value))
  );
}

function isSame(left: unknown, right: unknown): boolean {
  if (left instanceof Date && right instanceof Date) {
    return left.getTime() === right.getTime();
  }
  return left === right;
}
