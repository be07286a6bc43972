import type { Session } from '@waybill/conformance';
import type { Proxies } from '../proxies.ts';

/** What can break of a broker. */
interface Breakable {
  readonly kill: () => Promise<void>;
  readonly start: () => Promise<void>;
  readonly pause: () => Promise<void>;
  readonly unpause: () => Promise<void>;
}

/** Faults of nodes, all at the same time: one alone would wait for the others. */
export class NodeFaults {
  /** How to mend what has a fault. */
  #mending: readonly (() => Promise<void>)[] = [];

  async break(nodes: readonly Breakable[], fault: 'kill' | 'pause'): Promise<void> {
    this.#mending = nodes.map((node) => (fault === 'kill' ? node.start : node.unpause));
    await Promise.all(nodes.map((node) => node[fault]()));
  }

  async mend(): Promise<void> {
    const mending = this.#mending;
    this.#mending = [];
    await Promise.all(mending.map((mend) => mend()));
  }
}

/** Faults of the network; none where it is not ours. */
export function networkFaults(
  proxies: Pick<Proxies, 'cut' | 'blackHole' | 'latency' | 'loseAnswers'> | undefined,
): Session['faults'] {
  if (proxies === undefined) return {};
  return {
    cut: () => proxies.cut(),
    blackHole: (on) => proxies.blackHole(on),
    delay: (ms) => proxies.latency(ms),
    loseConfirms: (on) => proxies.loseAnswers(on),
  };
}
