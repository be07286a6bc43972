export { sqs, type SqsDriver } from './sqs-driver.ts';
export type { SqsCredentials, SqsOptions } from './sqs-options.ts';
