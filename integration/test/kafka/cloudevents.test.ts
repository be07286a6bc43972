import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { defineEvent, defineQueue, type Metadata } from '@waybill/core';
import { CloudEvent, Kafka as Binding, type KafkaMessage } from 'cloudevents';
import { beforeAll, describe, expect, onTestFinished } from 'vitest';
import { z } from 'zod';

import { ensureKcat, eventually, kcat } from '../../src/index.ts';
import { clientFor, hasKafka, type KafkaBus, kafkaTest, openBus, openProducer, ownKafka } from './kit.ts';

const brokers = ownKafka();
let noKcat: string | undefined;

beforeAll(async () => {
  if (hasKafka) noKcat = await ensureKcat();
});

const Placed = defineEvent('order.placed', z.object({ key: z.string(), name: z.string() }), {
  topic: 'ce-events',
}).keyedBy(({ key }) => key);
const Text = defineEvent('text.seen', z.string(), { topic: 'ce-texts' });
const Bytes = defineEvent('bytes.seen', z.instanceof(Uint8Array), { topic: 'ce-texts' });
const placements = defineQueue('placements', { handles: [Placed] });
const texts = defineQueue('texts', { handles: [Text, Bytes] });

const modes = ['structured', 'binary'] as const;
const order = { key: 'kunde-7', name: 'Löwe 🦁 "é"' };
const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);

interface Stored {
  readonly key: string | null;
  readonly value: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/** The one record of a topic, as kafkajs reads it. */
async function recordOf(topic: string): Promise<Stored> {
  const records: Stored[] = [];
  const consumer = clientFor(brokers).consumer({ groupId: randomUUID(), maxWaitTimeInMs: 50 });
  onTestFinished(() => consumer.disconnect());
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ message: { key, value, headers = {} } }) => {
      const names = Object.entries(headers).map(([name, each]) => [name, String(each)] as const);
      records.push({
        key: key?.toString() ?? null,
        value: value ?? Buffer.alloc(0),
        headers: Object.fromEntries(names),
      });
    },
  });
  await eventually(() => expect(records).toHaveLength(1));
  return records[0] as Stored;
}

/** What the package reads in a record. */
async function eventIn(topic: string): Promise<CloudEvent<unknown>> {
  const { key, value, headers } = await recordOf(topic);
  const isStructured = headers['content-type']?.startsWith('application/cloudevents') === true;
  const message = { key: key ?? '', headers, value: isStructured ? value.toString() : value, body: value };
  expect(Binding.isEvent(message)).toBe(true);
  const event = Binding.toEvent(message) as CloudEvent<unknown>;
  expect(event.validate()).toBe(true);
  return event;
}

interface Seen {
  readonly type: string;
  readonly data: unknown;
  readonly metadata: Metadata;
}

/** A bus whose handlers keep what they get. */
async function consume(): Promise<{ readonly bus: KafkaBus; readonly seen: Seen[] }> {
  const bus = openBus(brokers, { uses: [placements, texts] });
  const seen: Seen[] = [];
  const keep =
    (type: string) =>
    (data: unknown, { metadata }: { readonly metadata: Metadata }) =>
      void seen.push({ type, data, metadata });
  await bus.consume(placements, { 'order.placed': keep('order.placed') });
  await bus.consume(texts, { 'text.seen': keep('text.seen'), 'bytes.seen': keep('bytes.seen') });
  return { bus, seen };
}

async function oneOf(seen: readonly Seen[]): Promise<Seen> {
  await eventually(() => expect(seen).toHaveLength(1));
  return seen[0] as Seen;
}

/** As a program with the package and kafkajs would send it. */
async function send(topic: string, message: KafkaMessage): Promise<void> {
  const producer = await openProducer(brokers);
  const { value } = message;
  const isRaw = typeof value === 'string' || Buffer.isBuffer(value);
  const headers = Object.entries(message.headers).flatMap(([name, each]) =>
    each === undefined || each === null ? [] : [[name, String(each)] as const],
  );
  const record = { key: message.key ?? null, value: isRaw ? value : JSON.stringify(value) };
  await producer.send({ topic, messages: [{ ...record, headers: Object.fromEntries(headers) }] });
}

describe.each(modes)('in %s mode', (mode) => {
  const write = (event: CloudEvent<unknown>): KafkaMessage => Binding[mode]<unknown>(event);

  kafkaTest('the cloudevents package reads what Waybill writes', async () => {
    const bus = openBus({ ...brokers, envelope: mode }, { uses: [placements], source: '/shop/%C3%BC' });
    await bus.publish(Placed, order, { id: 'order:7', correlationId: 'c-1' });
    const event = await eventIn(`${bus.prefix}.ce-events`);
    expect(event).toMatchObject({
      specversion: '1.0',
      id: 'order:7',
      type: 'order.placed',
      source: '/shop/%C3%BC',
      data: order,
      correlationid: 'c-1',
      partitionkey: order.key,
    });
    expect(String(event['dataversion'])).toBe('1');
    expect(Math.abs(Date.parse(event.time ?? '') - Date.now())).toBeLessThan(30_000);
  });

  kafkaTest('the cloudevents package reads the bytes that Waybill writes', async () => {
    const bus = openBus({ ...brokers, envelope: mode }, { uses: [texts] });
    await bus.publish(Bytes, bytes, { id: 'b1' });
    const event = await eventIn(`${bus.prefix}.ce-texts`);
    expect(event).toMatchObject({ id: 'b1', type: 'bytes.seen' });
    const base64 = event.data_base64 ?? Buffer.from(event.data as Buffer).toString('base64');
    expect([...Buffer.from(base64, 'base64')]).toEqual([...bytes]);
  });

  kafkaTest('Waybill handles what the cloudevents package writes, with its extensions', async () => {
    const { bus, seen } = await consume();
    const event = new CloudEvent({
      id: 'foreign-1',
      type: 'order.placed',
      source: 'https://other.example/orders',
      time: '2026-01-02T03:04:05.678Z',
      subject: 'orders/7',
      datacontenttype: 'application/json',
      data: order,
      partitionkey: order.key,
      correlationid: 'c-2',
      tenant: 'acme',
    });
    await send(`${bus.prefix}.ce-events`, write(event));
    const { data, metadata } = await oneOf(seen);
    expect(data).toEqual(order);
    expect(metadata).toMatchObject({
      id: 'foreign-1',
      source: 'https://other.example/orders',
      time: '2026-01-02T03:04:05.678Z',
      version: 1,
      key: order.key,
      correlationId: 'c-2',
      extensions: { tenant: 'acme', subject: 'orders/7' },
    });
  });

  kafkaTest('Waybill handles JSON of another media type', async () => {
    const { bus, seen } = await consume();
    const datacontenttype = 'application/vnd.shop.order+json; charset=utf-8';
    const event = new CloudEvent({ type: 'order.placed', source: '/other', datacontenttype, data: order });
    await send(`${bus.prefix}.ce-events`, write(event));
    expect((await oneOf(seen)).data).toEqual(order);
  });

  kafkaTest('Waybill handles text', async () => {
    const { bus, seen } = await consume();
    const event = new CloudEvent({ type: 'text.seen', source: '/other', datacontenttype: 'text/plain', data: 'Grüße' });
    await send(`${bus.prefix}.ce-texts`, write(event));
    expect(await oneOf(seen)).toMatchObject({ type: 'text.seen', data: 'Grüße' });
  });

  kafkaTest('Waybill handles bytes', async () => {
    const { bus, seen } = await consume();
    const datacontenttype = 'application/octet-stream';
    const data = Buffer.from(bytes);
    await send(
      `${bus.prefix}.ce-texts`,
      write(new CloudEvent({ type: 'bytes.seen', source: '/o', datacontenttype, data })),
    );
    const { data: got } = await oneOf(seen);
    expect([...(got as Uint8Array)]).toEqual([...bytes]);
  });

  kafkaTest('kcat shows key, headers and value of what Waybill writes', async (context) => {
    context.skip(noKcat !== undefined, noKcat);
    const bus = openBus({ ...brokers, envelope: mode }, { uses: [placements] });
    await bus.publish(Placed, order, { id: 'order:7', correlationId: 'c-1' });
    const topic = `${bus.prefix}.ce-events`;
    const format = ['-o', 'beginning', '-e', '-q', '-f', '%k|%h|%s\n'];
    const shown = await kcat('-C', '-b', brokers.brokers.join(','), '-t', topic, ...format);
    const [key = '', headers = '', ...rest] = shown.split('|');
    const value = JSON.parse(rest.join('|')) as Record<string, unknown>;
    expect(key).toBe(order.key);
    if (mode === 'structured') {
      expect(headers).toMatch(/^content-type=application\/cloudevents\+json/);
      expect(value).toMatchObject({ specversion: '1.0', id: 'order:7', type: 'order.placed', data: order });
      return;
    }
    expect(value).toEqual(order);
    const names = headers.split(',').map((header) => header.split('=', 1)[0]);
    for (const header of [
      'content-type=application/json',
      'ce_specversion=1.0',
      'ce_id=order:7',
      'ce_type=order.placed',
    ]) {
      expect(headers.split(',')).toContain(header);
    }
    expect(headers).toContain(`ce_partitionkey=${order.key}`);
    expect(names.filter((name) => name !== 'content-type' && name?.startsWith('ce_') === false)).toEqual([]);
  });
});

/** Sends a value with kcat. */
async function kcatSend(topic: string, value: string, headers: readonly string[], key: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-kcat-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'value');
  writeFileSync(file, value);
  const named = headers.flatMap((header) => ['-H', header]);
  await kcat('-P', '-b', brokers.brokers.join(','), '-t', topic, '-k', key, ...named, file);
}

kafkaTest('Waybill handles what kcat sends in both modes', async (context) => {
  context.skip(noKcat !== undefined, noKcat);
  const { bus, seen } = await consume();
  const topic = `${bus.prefix}.ce-events`;
  const attributes = { specversion: '1.0', id: 'kcat-1', type: 'order.placed', source: '/kcat', tenant: 'acme' };
  const headers = Object.entries(attributes).map(([name, value]) => `ce_${name}=${value}`);
  await kcatSend(topic, JSON.stringify(order), [...headers, 'content-type=application/json'], order.key);
  const { data, metadata } = await oneOf(seen);
  expect(data).toEqual(order);
  expect(metadata).toMatchObject({ id: 'kcat-1', source: '/kcat', extensions: { tenant: 'acme' } });
  const event = JSON.stringify({ ...attributes, id: 'kcat-2', data: order });
  await kcatSend(topic, event, ['content-type=application/cloudevents+json; charset=UTF-8'], order.key);
  await eventually(() => expect(seen.map((each) => each.metadata.id)).toEqual(['kcat-1', 'kcat-2']));
  expect(seen[1]?.data).toEqual(order);
  expect(await bus.depth(placements)).toMatchObject({ deadLettered: 0 });
});
