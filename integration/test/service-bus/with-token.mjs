// Makes a queue, sends and receives as an identity; tells what it saw.
import { serviceBus } from '@waybill/service-bus';

const [namespace, managementUrl, token] = process.argv.slice(2);
const credential = { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3_600_000 }) };
const driver = serviceBus({ namespace, credential, managementUrl });
const queue = { name: 'tokens', ordered: false, bindings: [] };
const signal = AbortSignal.timeout(10_000);
const made = await driver.admin.apply({ topics: [], queues: [queue] }, signal);
const target = { queue: queue.name, lane: 'work' };
await driver.send([{ target, id: 'one', type: 't', contentType: 'a/b', body: Buffer.from('x'), headers: {} }], signal);
const subscription = await driver.subscribe(queue, 'work', { maxInFlight: 10, onLost: () => undefined });
const [delivery] = await subscription.receive(1, signal);
const { ready } = await driver.admin.depth(queue);
process.send({ made: made.length, id: delivery.raw.messageId, ready });
await subscription.close(Date.now() + 1_000);
await driver.close(Date.now() + 1_000);
process.disconnect();
