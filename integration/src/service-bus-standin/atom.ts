// The Atom feeds in which the service's management speaks.
import { XMLParser } from 'fast-xml-parser';

import { invalid } from './problem.ts';

const atomNamespace = 'http://www.w3.org/2005/Atom';
const serviceNamespace = 'http://schemas.microsoft.com/netservices/2010/10/servicebus/connect';
const countsNamespace = 'http://schemas.microsoft.com/netservices/2011/06/servicebus';
const instanceNamespace = 'http://www.w3.org/2001/XMLSchema-instance';
const schemaNamespace = 'http://www.w3.org/2001/XMLSchema';

/** A parsed element: text, or children and `@`-attributes by name. */
export type XmlNode = string | { readonly [name: string]: XmlNode | readonly XmlNode[] | undefined };

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  removeNSPrefix: true,
});

/** The description inside an entry, such as the children of `QueueDescription`. Throws for what is none. */
export function readEntry(xml: string, description: string): XmlNode {
  const content = child(child(parser.parse(xml) as XmlNode, 'entry'), 'content');
  const found = child(content, description);
  if (found === undefined) {
    throw invalid(`SubCode=40000. The body is no entry with a ${description}.`);
  }
  return found;
}

export function child(node: XmlNode | undefined, name: string): XmlNode | undefined {
  const found = typeof node === 'object' ? node[name] : undefined;
  return Array.isArray(found) ? (found[0] as XmlNode) : (found as XmlNode | undefined);
}

function children(node: XmlNode | undefined, name: string): readonly XmlNode[] {
  const found = typeof node === 'object' ? node[name] : undefined;
  if (found === undefined) {
    return [];
  }
  return Array.isArray(found) ? (found as readonly XmlNode[]) : [found as XmlNode];
}

/** The text of an element, with or without attributes. */
export function textOf(node: XmlNode | undefined): string | undefined {
  if (typeof node === 'string' || node === undefined) {
    return node;
  }
  const text = node['#text'];
  return typeof text === 'string' ? text : undefined;
}

/** Leaves of an element as they are written, without empty ones. */
export function leaves(node: XmlNode): Record<string, string> {
  const texts = Object.entries(node).map(([name, value]) => [name, textOf(value as XmlNode)] as const);
  return Object.fromEntries(texts.filter(([name, text]) => !name.startsWith('@') && text !== undefined)) as Record<
    string,
    string
  >;
}

export interface EntryText {
  /** Its URL, whose path the client takes names from. */
  readonly id: string;
  readonly title: string;
  /** Such as `QueueDescription`. */
  readonly description: string;
  /** XML inside the description. */
  readonly inner: string;
}

export function entry({ id, title, description, inner }: EntryText): string {
  const now = new Date().toISOString();
  const content = `<content type="application/xml"><${description} xmlns="${serviceNamespace}" xmlns:i="${instanceNamespace}">${inner}</${description}></content>`;
  return `<entry xmlns="${atomNamespace}"><id>${escape(id)}</id><title type="text">${escape(title)}</title><published>${now}</published><updated>${now}</updated>${content}</entry>`;
}

/** `next` is the query of the page that follows. The client reads links only where there are two. */
export function feed(id: string, entries: readonly string[], next?: string): string {
  const now = new Date().toISOString();
  const links = next === undefined ? '' : link('self', id) + link('next', id + next);
  return `<feed xmlns="${atomNamespace}"><id>${escape(id)}</id><title type="text">Entities</title><updated>${now}</updated>${links}${entries.join('')}</feed>`;
}

function link(relation: string, address: string): string {
  return `<link rel="${relation}" href="${escape(address)}"/>`;
}

export function errorBody(status: number, detail: string): string {
  return `<Error><Code>${status}</Code><Detail>${escape(detail)}</Detail></Error>`;
}

export function elements(values: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(values)
    .map(([name, value]) => (value === undefined ? '' : `<${name}>${escape(value)}</${name}>`))
    .join('');
}

export function countDetails(counts: Readonly<Record<string, number>>): string {
  const inner = Object.entries(counts).map(([name, count]) => `<d2p1:${name}>${count}</d2p1:${name}>`);
  return `<CountDetails xmlns:d2p1="${countsNamespace}">${inner.join('')}</CountDetails>`;
}

/** An element whose kind is told by an attribute. */
export function typed(name: string, type: string, inner: string): string {
  return `<${name} i:type="${type}">${inner}</${name}>`;
}

const typeNames: Readonly<Record<string, string>> = { boolean: 'boolean', number: 'double', string: 'string' };

export function keyValues(name: string, values: Readonly<Record<string, unknown>>): string {
  const pairs = Object.entries(values).map(([key, value]) => {
    const type = value instanceof Date ? 'dateTime' : (typeNames[typeof value] ?? 'string');
    const text = value instanceof Date ? value.toISOString() : String(value);
    const inner = `<Value i:type="d6p1:${type}" xmlns:d6p1="${schemaNamespace}">${escape(text)}</Value>`;
    return `<KeyValueOfstringanyType><Key>${escape(key)}</Key>${inner}</KeyValueOfstringanyType>`;
  });
  return pairs.length === 0 ? '' : `<${name}>${pairs.join('')}</${name}>`;
}

/** Values of such pairs as the types that they name. */
export function readKeyValues(node: XmlNode | undefined): Record<string, unknown> {
  const pairs = children(node, 'KeyValueOfstringanyType').map((pair) => {
    const value = child(pair, 'Value');
    return [textOf(child(pair, 'Key')) ?? '', typedValue(textOf(value) ?? '', textOf(child(value, '@type')) ?? '')];
  });
  return Object.fromEntries(pairs) as Record<string, unknown>;
}

function typedValue(text: string, type: string): unknown {
  switch (type.replace(/^.*:/, '')) {
    case 'boolean':
      return text === 'true';
    case 'double':
    case 'int':
    case 'long':
      return Number(text);
    case 'dateTime':
      return new Date(text);
    default:
      return text;
  }
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
