import { pullOfficial } from './images.ts';
import { type Progress, silent } from './progress.ts';
import { startServiceBusEmulator } from './service-bus-emulator.ts';
import {
  givenServiceBus,
  hostOf,
  type ServiceBusDescriptor,
  serviceBusSettings,
  workOnceWithServiceBus,
} from './service-bus-server.ts';
import { startServiceBusStandin } from './service-bus-standin.ts';
import { setting } from './setting.ts';
import { sweepLeftovers } from './sweep.ts';

const KIND_SETTING = 'WAYBILL_SERVICE_BUS';

/** Which Service Bus there is to test on, and how to have it. */
export type ServiceBusChoice =
  | { readonly kind: 'given'; readonly server: ServiceBusDescriptor }
  | { readonly kind: 'emulator'; readonly images: { readonly emulator: string; readonly sql: string } }
  | { readonly kind: 'stand-in'; readonly why: string };

export interface ServiceBusOptions {
  /** Of Microsoft for its emulator and for SQL Server. Without it there is a stand-in. @default false */
  readonly acceptLicense?: boolean;
  readonly progress?: Progress;
}

/** A server and its end, which leaves alone what was given. */
export interface ServiceBusServer extends ServiceBusDescriptor {
  readonly kind: ServiceBusChoice['kind'];
  stop(): Promise<void>;
}

/**
 * What is given by `WAYBILL_SERVICE_BUS_CONNECTION_STRING`; else Microsoft's emulator, where its images can be had and its
 * licence is accepted; else a stand-in. `WAYBILL_SERVICE_BUS=stand-in` asks for that.
 */
export async function chooseServiceBus(
  options: ServiceBusOptions = {},
  pull: typeof pullOfficial = pullOfficial,
): Promise<ServiceBusChoice> {
  const { acceptLicense = false, progress = silent } = options;
  const server = givenServiceBus();
  if (server !== undefined) return { kind: 'given', server };
  const wanted = setting(KIND_SETTING);
  if (wanted === 'stand-in') return { kind: 'stand-in', why: `${KIND_SETTING} asks for it` };
  if (wanted !== undefined) throw new Error(`${KIND_SETTING} is stand-in or nothing, not ${wanted}.`);
  if (!acceptLicense) return { kind: 'stand-in', why: "the licence of Microsoft's emulator was not accepted" };
  const emulator = await pull('service-bus-emulator', progress);
  if ('refusal' in emulator) return { kind: 'stand-in', why: emulator.refusal };
  const sql = await pull('service-bus-sql', progress);
  if ('refusal' in sql) return { kind: 'stand-in', why: sql.refusal };
  return { kind: 'emulator', images: { emulator: emulator.name, sql: sql.name } };
}

/** Starts what {@link chooseServiceBus} chooses. Resolves once it works. */
export async function startServiceBus(options: ServiceBusOptions = {}): Promise<ServiceBusServer> {
  const { progress = silent } = options;
  const choice = await chooseServiceBus(options);
  if (choice.kind === 'given') {
    await workOnceWithServiceBus(choice.server);
    progress(`broker: Service Bus of ${serviceBusSettings}, ${hostOf(choice.server.connectionString)}, no container`);
    return { ...choice.server, kind: 'given', stop: async () => {} };
  }
  if (choice.kind === 'emulator') {
    await sweepLeftovers(progress);
    const emulator = await startServiceBusEmulator({ acceptLicense: true, images: choice.images, progress });
    return { ...emulator, kind: 'emulator' };
  }
  progress(`broker: a stand-in for Azure Service Bus, because ${choice.why}`);
  const standin = await startServiceBusStandin({ progress });
  const { connectionString, managementUrl } = standin;
  return { kind: 'stand-in', connectionString, managementUrl, version: 'stand-in', stop: () => standin.stop() };
}
