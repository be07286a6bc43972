// The stand-in as a process. Prints one line of JSON with its ports once they listen.
import { parseArgs } from 'node:util';

import { listenForControl } from './control-server.ts';
import { listen, type Policy, type Tls } from './index.ts';
import { portOf } from './management-server.ts';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    'management-port': { type: 'string', default: '0' },
    'web-socket-port': { type: 'string', default: '0' },
    'control-port': { type: 'string', default: '0' },
    /** JSON: policies and tokens that are accepted. */
    access: { type: 'string', default: '{}' },
    'max-message-size': { type: 'string', default: '262144' },
    'idle-timeout-ms': { type: 'string', default: '240000' },
    /** A file that keeps all that is stored. */
    journal: { type: 'string' },
    /** JSON: certificate and key in PEM, for TLS. */
    tls: { type: 'string' },
  },
});

const everything: Policy = {
  name: 'RootManageSharedAccessKey',
  key: 'standin-key',
  claims: ['Manage', 'Send', 'Listen'],
};

const standin = await listen({
  access: { policies: [everything], bearerTokens: [], ...(JSON.parse(values.access) as object) },
  port: Number(values.port),
  managementPort: Number(values['management-port']),
  webSocketPort: Number(values['web-socket-port']),
  maxMessageSize: Number(values['max-message-size']),
  idleTimeoutMs: Number(values['idle-timeout-ms']),
  ...(values.journal === undefined ? {} : { journal: values.journal }),
  ...(values.tls === undefined ? {} : { tls: JSON.parse(values.tls) as Tls }),
});
const control = await listenForControl(standin, Number(values['control-port']));

const { port, managementPort, webSocketPort } = standin;
const ports = { port, managementPort, webSocketPort, controlPort: portOf(control) };
process.stdout.write(`${JSON.stringify(ports)}\n`);
process.send?.(ports);
