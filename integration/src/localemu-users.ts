import { randomUUID } from 'node:crypto';

import { CreateAccessKeyCommand, CreateUserCommand, IAMClient, PutUserPolicyCommand } from '@aws-sdk/client-iam';
import { GetQueueAttributesCommand, SetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs';

import { localemuRoot } from './localemu-inside.ts';
import { type SqsCredentials, sqsClientSettings, type SqsDescriptor } from './sqs-server.ts';

/** One statement of a policy. */
export interface PolicyStatement {
  readonly Sid?: string;
  readonly Effect: 'Allow' | 'Deny';
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
  /** Of a queue's policy only. */
  readonly Principal?: unknown;
}

/** Creates a user who may do what the statements allow. Resolves with the user's credentials. */
export async function createLocalemuUser(
  server: SqsDescriptor,
  statements: readonly PolicyStatement[],
): Promise<SqsCredentials> {
  const { region, endpoint } = sqsClientSettings(server);
  const iam = new IAMClient({ region, ...(endpoint === undefined ? {} : { endpoint }), credentials: localemuRoot });
  try {
    const UserName = `waybill-${randomUUID()}`;
    await iam.send(new CreateUserCommand({ UserName }));
    if (statements.length > 0) {
      const PolicyDocument = document(statements);
      await iam.send(new PutUserPolicyCommand({ UserName, PolicyName: 'waybill', PolicyDocument }));
    }
    const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName }));
    return { accessKeyId: AccessKey?.AccessKeyId ?? '', secretAccessKey: AccessKey?.SecretAccessKey ?? '' };
  } finally {
    iam.destroy();
  }
}

const refusal = 'WaybillRefusesWrites';

/** On: every user but root is denied to send to the queue, by a statement in its policy. Off takes the statement out. */
export async function refuseWritesTo(server: SqsDescriptor, QueueUrl: string, on: boolean): Promise<void> {
  const client = new SQSClient({ ...sqsClientSettings(server), credentials: localemuRoot });
  try {
    const AttributeNames = ['Policy', 'QueueArn'] as const;
    const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: [...AttributeNames] });
    const { Policy = '', QueueArn = '' } = (await client.send(command)).Attributes ?? {};
    const before = Policy === '' ? [] : (JSON.parse(Policy) as { Statement: readonly PolicyStatement[] }).Statement;
    const others = before.filter(({ Sid }) => Sid !== refusal);
    const statement = {
      Sid: refusal,
      Effect: 'Deny',
      Principal: '*',
      Action: 'sqs:SendMessage',
      Resource: QueueArn,
    } as const;
    const after = on ? [...others, statement] : others;
    const Attributes = { Policy: after.length === 0 ? '' : document(after) };
    await client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }));
  } finally {
    client.destroy();
  }
}

function document(statements: readonly PolicyStatement[]): string {
  return JSON.stringify({ Version: '2012-10-17', Statement: statements });
}
