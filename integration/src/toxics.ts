import type { Proxy, ToxicAttributeTypes, ToxicDirection, ToxicType } from 'toxiproxy-node-client';

export interface Toxic {
  readonly name: string;
  readonly stream: ToxicDirection;
  readonly type: ToxicType;
  readonly attributes: ToxicAttributeTypes;
  /** Share of connections it affects. @default 1 */
  readonly toxicity?: number;
}

/** Puts a toxic on a proxy; one of the same name is replaced. */
export async function putToxic(proxy: Proxy, toxic: Toxic): Promise<void> {
  await removeToxic(proxy, toxic.name);
  await proxy.addToxic({ toxicity: 1, ...toxic });
}

/** Takes a toxic off a proxy; one that is not there is fine. */
export async function removeToxic(proxy: Proxy, name: string): Promise<void> {
  try {
    await (await proxy.getToxic(name)).remove();
  } catch (error) {
    if (!String(error).includes('status code 404')) {
      throw error;
    }
  }
}

/** Puts the toxic on both directions, or takes both off. */
export async function setBothWays(proxy: Proxy, on: boolean, toxic: Omit<Toxic, 'stream'>): Promise<void> {
  for (const stream of ['upstream', 'downstream'] as const) {
    const name = `${toxic.name}-${stream}`;
    await (on ? putToxic(proxy, { ...toxic, name, stream }) : removeToxic(proxy, name));
  }
}
