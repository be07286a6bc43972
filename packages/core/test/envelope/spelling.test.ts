import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decode } from '../../src/index.ts';
import { structured, undecodable, utf8 } from './kit.ts';

const required = { specversion: '1.0', id: 'a', source: '/s', type: 't' };
const spellings = ['ce-', 'ce_', 'cloudEvents_', 'cloudEvents:'];

function binary(headers: Readonly<Record<string, string>>, contentType = 'application/json', body = '{"a":1}') {
  return decode({ contentType, body: utf8(body), headers });
}

function spelled(prefix: string, attributes: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`${prefix}${name}`, value]));
}

describe('attributes in headers', () => {
  it.each(spellings)('are read as %s…', (prefix) => {
    const headers = spelled(prefix, {
      ...required,
      time: '2026-01-01T00:00:00Z',
      dataversion: '2',
      correlationid: 'c',
      causationid: 'b',
      partitionkey: 'k',
      sequence: '07',
      traceparent: '00-a-b-01',
      tracestate: 'x=y',
      tenant: 'acme',
    });
    expect(binary(headers)).toEqual({
      type: 't',
      data: { a: 1 },
      metadata: {
        id: 'a',
        source: '/s',
        time: '2026-01-01T00:00:00Z',
        version: 2,
        correlationId: 'c',
        causationId: 'b',
        key: 'k',
        sequence: '07',
        traceparent: '00-a-b-01',
        tracestate: 'x=y',
        extensions: { tenant: 'acme' },
      },
    });
  });

  it('are read in any case', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...spellings),
        fc.mixedCase(fc.constantFrom(...Object.keys(required))),
        (prefix, name) => {
          const attributes = Object.entries(required).filter(([attribute]) => attribute !== name.toLowerCase());
          const headers = {
            ...spelled(prefix, Object.fromEntries(attributes)),
            [`${prefix.toUpperCase()}${name}`]: '1.0',
          };
          const { metadata, type } = binary(headers);
          expect({ specversion: '1.0', id: metadata.id, source: metadata.source, type }).toEqual({
            ...required,
            [name.toLowerCase()]: '1.0',
          });
        },
      ),
    );
  });

  it.each(['ce.', 'ce', 'x-ce-', 'cloudEvents-', 'cloudEvents.'])('are not read as %s…', (prefix) => {
    expect(undecodable(() => binary(spelled(prefix, required)))).toBe(
      'The message cannot be decoded: it has no CloudEvents attributes.',
    );
  });

  it('leave other headers out of the metadata', () => {
    const headers = { ...spelled('ce-', required), waybill: '{"attempt":2}', 'content-length': '7', 'ce-': 'x' };
    expect(binary(headers).metadata).not.toHaveProperty('extensions');
  });
});

describe('the content type', () => {
  const event = { ...required, data: 1 };

  it.each([
    'application/cloudevents+json',
    'application/cloudevents+json; charset=UTF-8',
    'application/cloudevents+json;charset=utf-8',
    'application/cloudevents+json ; a=b',
    'APPLICATION/CloudEvents+JSON',
    'application/cloudevents',
  ])('%j means structured', (contentType) => {
    expect(structured(event, contentType)).toMatchObject({ type: 't', data: 1, metadata: { id: 'a' } });
  });

  it.each(['application/json', 'application/cloudevents-batch+json', 'application/cloudevents+xml', '', 'text/plain'])(
    '%j does not mean structured',
    (contentType) => {
      expect(undecodable(() => structured(event, contentType))).toMatch(/no CloudEvents attributes/);
    },
  );

  it('decides for structured also where headers have attributes', () => {
    const body = utf8(JSON.stringify(event));
    const headers = spelled('ce-', { ...required, id: 'other' });
    expect(decode({ contentType: 'application/cloudevents+json', body, headers }).metadata.id).toBe('a');
  });

  it.each(['application/json', 'Application/JSON; charset=utf-8', 'text/json', 'application/vnd.order+json', ''])(
    '%j of a binary event is parsed',
    (contentType) => {
      expect(binary(spelled('ce-', required), contentType).data).toEqual({ a: 1 });
    },
  );

  it('text/… of a binary event is text', () => {
    expect(binary(spelled('ce-', required), 'text/plain; charset=utf-8', 'ä').data).toBe('ä');
  });

  it.each(['application/octet-stream', 'application/xml', 'image/png', 'application/jsonx'])(
    '%j of a binary event is bytes',
    (contentType) => {
      expect(binary(spelled('ce-', required), contentType).data).toEqual(utf8('{"a":1}'));
    },
  );
});

describe('what an event leaves out', () => {
  it('is made up for where it can be', () => {
    expect(structured(required)).toEqual({
      type: 't',
      data: undefined,
      metadata: { id: 'a', source: '/s', time: '', version: 1, correlationId: 'a' },
      foreign: true,
    });
  });

  it('is left out where JSON says null', () => {
    const nothing = {
      time: null,
      correlationid: null,
      causationid: null,
      partitionkey: null,
      sequence: null,
      traceparent: null,
    };
    expect(structured({ ...required, ...nothing, data: null })).toEqual({
      type: 't',
      data: null,
      metadata: { id: 'a', source: '/s', time: '', version: 1, correlationId: 'a' },
      foreign: true,
    });
  });

  it.each(['id', 'source', 'type'])('is refused where it is the %s', (name) => {
    const sentence = `The message cannot be decoded: its attribute "${name}" is missing or no text.`;
    for (const value of [undefined, null, '', 7, {}]) {
      expect(undecodable(() => structured({ ...required, [name]: value }))).toBe(sentence);
    }
  });

  it('is refused where it is the specversion', () => {
    expect(undecodable(() => structured({ id: 'a', source: '/s', type: 't' }))).toMatch(
      /it has no CloudEvents attributes/,
    );
    expect(undecodable(() => structured({ ...required, specversion: '0.3' }))).toMatch(
      /its specversion is "0.3", not "1.0"/,
    );
    expect(undecodable(() => structured({ ...required, specversion: 1 }))).toMatch(/its specversion is 1, not "1.0"/);
  });
});

describe('the version', () => {
  const versionOf = (attributes: object): number => structured({ ...required, ...attributes }).metadata.version;

  it.each([
    ['is 1 where nothing says it', {}, 1],
    ['is dataversion', { dataversion: 3 }, 3],
    ['is dataversion, also as text', { dataversion: '3' }, 3],
    ['is dataversion before dataschema', { dataversion: 3, dataschema: 'urn:waybill:t:2' }, 3],
    ['is the number at the end of dataschema', { dataschema: 'urn:waybill:t:2' }, 2],
    ['is the number at the end of a path', { dataschema: 'https://schemas.example/t/12' }, 12],
    ['is 1 where dataschema ends with no number', { dataschema: 'https://schemas.example/t/v2' }, 1],
    ['is 1 where dataschema is null', { dataschema: null }, 1],
    ['is that of dataschema where dataversion is null', { dataversion: null, dataschema: 'urn:waybill:t:2' }, 2],
  ])('%s', (_, attributes, version) => {
    expect(versionOf(attributes)).toBe(version);
  });

  it.each([0, -1, 1.5, 'two', '', '1e400', {}, [1, 2]])('is refused where dataversion is %j', (dataversion) => {
    expect(undecodable(() => versionOf({ dataversion }))).toBe(
      `The message cannot be decoded: its dataversion is ${JSON.stringify(dataversion)}, not a number from 1.`,
    );
  });

  it('is not the port of a dataschema', () => {
    expect(versionOf({ dataschema: 'http://schemas:8081' })).toBe(1);
  });
});
