// Sends, consumes and closes; nothing else should keep it alive.
import { serviceBus } from '@waybill/service-bus';

const [connectionString, managementUrl, name] = process.argv.slice(2);
const driver = serviceBus({ connectionString, managementUrl });
const queue = { name, ordered: false, bindings: [] };
const signal = AbortSignal.timeout(5_000);
const target = { queue: name, lane: 'work' };
await driver.send([{ target, id: 'one', type: 't', contentType: 'a/b', body: Buffer.from('x'), headers: {} }], signal);
const subscription = await driver.subscribe(queue, 'work', { maxInFlight: 10, onLost: () => undefined });
const deliveries = await subscription.receive(1, signal);
await subscription.extend(deliveries);
await subscription.settle(deliveries.map((delivery) => ({ delivery, action: 'accept' })));
await subscription.close(Date.now() + 1_000);
await driver.close(Date.now() + 1_000);
process.disconnect?.();
