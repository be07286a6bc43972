import { type EntityRecord, entryOf, type EntryRecord, Journal, type JournalRecord, wholeEntry } from './journal.ts';
import type { Mailbox } from './mailbox.ts';
import { type Entity, entityRecord, Namespace } from './namespace.ts';

const defaultMaxBytes = 64 * 1024 * 1024;

/** A namespace as a file tells it, which is kept there from now on; an empty one where there is no file. */
export function openNamespace(path: string | undefined, maxBytes: number = defaultMaxBytes): Namespace {
  const namespace = new Namespace();
  if (path !== undefined) {
    restore(namespace, Journal.read(path));
    namespace.keepIn(new Journal({ path, maxBytes }, () => contents(namespace)));
  }
  return namespace;
}

/** What is left of the messages of one mailbox. */
interface MailboxRecords {
  readonly entries: Map<number, EntryRecord>;
  lastSequence: number;
}

function restore(namespace: Namespace, records: readonly JournalRecord[]): void {
  const mailboxes = new Map<string, MailboxRecords>();
  for (const record of records) {
    switch (record.record) {
      case 'entity':
        restoreEntity(namespace, record);
        break;
      case 'entity-gone':
        namespace.remove(record.path);
        forget(mailboxes, record.path);
        break;
      case 'entry':
        note(mailboxes, record);
        break;
      case 'entry-gone':
        recordsOf(mailboxes, record.mailbox).entries.delete(record.sequence);
        break;
      case 'session':
        mailboxNamed(namespace, record.mailbox).sessions.restoreState(
          record.id,
          record.state === null ? undefined : Buffer.from(record.state, 'base64'),
        );
        break;
      case 'seen':
        restoreSeen(namespace.find(record.path), record);
        break;
    }
  }
  for (const [name, { entries, lastSequence }] of mailboxes) {
    const ordered = [...entries.values()].map(entryOf).toSorted((left, right) => left.sequence - right.sequence);
    mailboxNamed(namespace, name).restore(ordered, lastSequence);
  }
}

function restoreEntity(namespace: Namespace, { kind, path, properties, rules }: EntityRecord): void {
  const known = [...namespace.entities()].find((entity) => entity.path === path);
  const entity = known ?? create(namespace, { kind, path, properties });
  entity.properties = properties;
  if (entity.kind === 'subscription') {
    entity.rules.clear();
    rules.forEach((rule) => entity.rules.set(rule.name, rule));
  }
}

function create(namespace: Namespace, { kind, path, properties }: Omit<EntityRecord, 'record' | 'rules'>): Entity {
  if (kind === 'subscription') {
    const [topic = '', name = ''] = path.split('/Subscriptions/');
    return namespace.createSubscription(topic, name, properties);
  }
  return kind === 'queue' ? namespace.createQueue(path, properties) : namespace.createTopic(path, properties);
}

function restoreSeen(entity: Entity, { id, at }: { readonly id: string; readonly at: number }): void {
  if (entity.kind !== 'subscription') {
    entity.duplicates.restore(id, at);
  }
}

function note(mailboxes: Map<string, MailboxRecords>, record: EntryRecord): void {
  const found = recordsOf(mailboxes, record.mailbox);
  found.lastSequence = Math.max(found.lastSequence, record.sequence);
  const { lock: _, ...before } = found.entries.get(record.sequence) ?? record;
  found.entries.set(record.sequence, { ...before, ...record });
}

function recordsOf(mailboxes: Map<string, MailboxRecords>, name: string): MailboxRecords {
  const found = mailboxes.get(name) ?? { entries: new Map<number, EntryRecord>(), lastSequence: 0 };
  mailboxes.set(name, found);
  return found;
}

/** Subscriptions go with their topic. */
function forget(mailboxes: Map<string, MailboxRecords>, path: string): void {
  for (const name of mailboxes.keys()) {
    if (name.startsWith(`${path}|`) || name.startsWith(`${path}/Subscriptions/`)) {
      mailboxes.delete(name);
    }
  }
}

function mailboxNamed(namespace: Namespace, name: string): Mailbox {
  const [path = '', which = ''] = name.split('|');
  const mailboxes: Readonly<Record<string, Mailbox>> = { ...namespace.find(path).mailboxes };
  const found = mailboxes[which];
  if (found === undefined) {
    throw new Error(`The journal tells of a mailbox ${name}, which there is not.`);
  }
  return found;
}

function* contents(namespace: Namespace): Iterable<JournalRecord> {
  for (const entity of namespace.entities()) {
    yield entityRecord(entity);
    for (const [which, mailbox] of Object.entries(entity.mailboxes)) {
      yield* mailboxContents(`${entity.path}|${which}`, mailbox);
    }
    if (entity.kind !== 'subscription') {
      for (const [id, at] of entity.duplicates.seen) {
        yield { record: 'seen', path: entity.path, id, at };
      }
    }
  }
}

function* mailboxContents(name: string, mailbox: Mailbox): Iterable<JournalRecord> {
  const { entries, lastSequence } = mailbox.contents();
  for (const [id, state] of mailbox.sessions.states) {
    yield { record: 'session', mailbox: name, id, state: state.toString('base64') };
  }
  for (const entry of entries) {
    yield wholeEntry(name, entry);
  }
  if (lastSequence > (entries.at(-1)?.sequence ?? 0)) {
    // So that no number is given out twice.
    yield { record: 'entry', mailbox: name, sequence: lastSequence, state: 'active', deliveryCount: 0 };
    yield { record: 'entry-gone', mailbox: name, sequence: lastSequence };
  }
}
