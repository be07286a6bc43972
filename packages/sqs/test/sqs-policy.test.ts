import { describe, expect, test } from 'vitest';
import { missingSenders, readRedrive, readTypes, withSenders, writeRedrive, writeTypes } from '../src/sqs-policy.ts';

const queueArn = 'arn:aws:sqs:eu-central-1:000000000000:billing';
const a = 'arn:aws:sns:eu-central-1:000000000000:a';
const b = 'arn:aws:sns:eu-central-1:000000000000:b';

function policyOf(...statements: object[]): string {
  return JSON.stringify({ Version: '2012-10-17', Id: 'theirs', Statement: statements });
}

const theirs = { Sid: 'theirs', Effect: 'Deny', Principal: '*', Action: 'sqs:*', Resource: queueArn };
const sns = { Service: 'sns.amazonaws.com' };

describe('a queue policy', () => {
  test('that is not there gets one statement, for SNS and the topics alone', () => {
    expect(JSON.parse(withSenders(undefined, { queueArn, topics: [b, a] }))).toEqual({
      Version: '2012-10-17',
      Statement: [
        {
          Sid: 'waybill',
          Effect: 'Allow',
          Principal: sns,
          Action: 'sqs:SendMessage',
          Resource: queueArn,
          Condition: { ArnEquals: { 'aws:SourceArn': [a, b] } },
        },
      ],
    });
  });

  test('keeps the statements of others, and the topics that were let in before', () => {
    const before = withSenders(policyOf(theirs), { queueArn, topics: [b] });
    const after = JSON.parse(withSenders(before, { queueArn, topics: [a] })) as { Id: string; Statement: object[] };
    expect(after.Id).toBe('theirs');
    expect(after.Statement).toHaveLength(2);
    expect(after.Statement[0]).toEqual(theirs);
    expect(after.Statement[1]).toMatchObject({ Condition: { ArnEquals: { 'aws:SourceArn': [a, b] } } });
  });

  test('is the same text whichever order the topics come in', () => {
    const one = withSenders(withSenders(undefined, { queueArn, topics: [a] }), { queueArn, topics: [b] });
    expect(one).toBe(withSenders(undefined, { queueArn, topics: [b, a, b] }));
  });

  test('with a single statement that is no list is read and kept', () => {
    const single = JSON.stringify({ Version: '2012-10-17', Statement: theirs });
    const after = JSON.parse(withSenders(single, { queueArn, topics: [a] })) as { Statement: object[] };
    expect(after.Statement[0]).toEqual(theirs);
  });

  test('of Waybill lets its topics in and no other', () => {
    const policy = withSenders(undefined, { queueArn, topics: [a] });
    expect(missingSenders(policy, [a, b])).toEqual([b]);
    expect(missingSenders(undefined, [a, b])).toEqual([a, b]);
    expect(missingSenders('no JSON', [a])).toEqual([a]);
  });

  test.each([
    ['a pattern', { Condition: { ArnLike: { 'aws:SourceArn': 'arn:aws:sns:*:000000000000:*' } } }],
    ['anybody', { Principal: '*', Condition: { ArnEquals: { 'aws:SourceArn': [a] } } }],
    ['an AWS principal *', { Principal: { AWS: '*' }, Condition: { StringEquals: { 'AWS:SourceArn': a } } }],
    ['no condition', {}],
    ['every action', { Action: 'sqs:*' }],
    ['other case', { Action: ['SQS:SendMessage', 'SQS:ReceiveMessage'] }],
  ])('of somebody else with %s lets a topic in', (_, given) => {
    const statement = { Effect: 'Allow', Principal: sns, Action: 'sqs:SendMessage', Resource: queueArn, ...given };
    expect(missingSenders(policyOf(statement), [a])).toEqual([]);
  });

  test.each([
    ['Deny', { Effect: 'Deny' }],
    ['another service', { Principal: { Service: 'events.amazonaws.com' } }],
    ['another action', { Action: 'sqs:ReceiveMessage' }],
    ['another topic', { Condition: { ArnEquals: { 'aws:SourceArn': b } } }],
    ['a condition on something else', { Condition: { StringEquals: { 'aws:PrincipalOrgID': 'o-1' } } }],
    ['a pattern that fits in the middle only', { Condition: { ArnLike: { 'aws:SourceArn': 'sns:*:a' } } }],
    ['a negated condition', { Condition: { ArnNotEquals: { 'aws:SourceArn': a } } }],
  ])('of somebody else with %s lets no topic in', (_, given) => {
    const statement = { Effect: 'Allow', Principal: sns, Action: 'sqs:SendMessage', Resource: queueArn, ...given };
    expect(missingSenders(policyOf(statement), [a])).toEqual([a]);
  });
});

describe('a filter policy', () => {
  test('is the same text for the same types', () => {
    expect(writeTypes(['b', 'a', 'b'])).toBe('{"type":["a","b"]}');
    expect(readTypes(writeTypes(['b', 'a']))).toEqual(['a', 'b']);
  });

  test.each([
    undefined,
    '',
    '{}',
    'no JSON',
    '{"type":"a"}',
    '{"type":["a"],"store":["b"]}',
    '{"type":[{"prefix":"a"}]}',
  ])('of anything but a list of types (%s) is none of ours', (text) => {
    expect(readTypes(text)).toBeUndefined();
  });
});

describe('a redrive policy', () => {
  test('is read as it is written, also with its number as a text', () => {
    expect(readRedrive(writeRedrive({ target: a, receives: 100 }))).toEqual({ target: a, receives: 100 });
    expect(readRedrive(writeRedrive({ target: a }))).toEqual({ target: a });
    expect(readRedrive(`{"deadLetterTargetArn":"${a}","maxReceiveCount":"5"}`)).toEqual({ target: a, receives: 5 });
  });

  test.each([undefined, '', '{}', 'no JSON', '[]'])('that is not there (%s) is undefined', (text) => {
    expect(readRedrive(text)).toBeUndefined();
  });
});
