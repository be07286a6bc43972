import type { ImageKind } from './images.ts';
import { setting } from './setting.ts';

export type RabbitmqVersion = 'current' | 'old';

/** Both hold what a URL must encode, so that a test for leaked secrets sees two forms. */
export const rabbitmqUser = 'way@bill';
export const rabbitmqPassword = 'bill@secret/1';

/** The image of each version and the setting that names a broker which runs already. */
export const rabbitmqVersions: Readonly<Record<RabbitmqVersion, { image: ImageKind; urlSetting: string }>> = {
  current: { image: 'rabbitmq-current', urlSetting: 'WAYBILL_RABBITMQ_URL' },
  old: { image: 'rabbitmq-old', urlSetting: 'WAYBILL_RABBITMQ_OLD_URL' },
};

/** Whether a broker is given by URL. Then no container of any kind is started, and what needs one is left out. */
export function isBrokerGiven(): boolean {
  return setting(rabbitmqVersions.current.urlSetting) !== undefined;
}

export function rabbitmqUrl(port: number): string {
  return `amqp://${encodeURIComponent(rabbitmqUser)}:${encodeURIComponent(rabbitmqPassword)}@127.0.0.1:${port}`;
}

/** The host of a node, on the network of its cluster; numbers start at 1. */
export function nodeHost(number: number): string {
  return `rabbitmq-${number}`;
}

/** As the broker names it. */
export function nodeName(number: number): string {
  return `rabbit@${nodeHost(number)}`;
}

/** Files that make an official or an equivalent image the broker of a test, or a node of so many. */
export function rabbitmqFiles(nodes: number, management: boolean): { target: string; content: string }[] {
  const settings = [`default_user = ${rabbitmqUser}`, `default_pass = ${rabbitmqPassword}`, ...clusterSettings(nodes)];
  const files = [];
  if (management) {
    // The official image without management switches the collector off in a file of its own.
    settings.push('management_agent.disable_metrics_collector = false');
    files.push({ target: '/etc/rabbitmq/enabled_plugins', content: '[rabbitmq_management].\n' });
  }
  return [...files, { target: '/etc/rabbitmq/conf.d/90-waybill.conf', content: `${settings.join('\n')}\n` }];
}

const secret = 'waybill';

/** Nodes of a cluster, and the tools inside their containers, know each other by a secret. */
export function rabbitmqEnvironment(nodes: number): Record<string, string> {
  const option = `-setcookie ${secret}`;
  return nodes === 1 ? {} : { RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: option, RABBITMQ_CTL_ERL_ARGS: option };
}

/** In Erlang: ends the connections to nodes, and refuses new ones in both directions. */
export function strangersTo(nodes: readonly string[]): string {
  return `[begin erlang:set_cookie(Node, stranger), erlang:disconnect_node(Node) end || Node <- [${quoted(nodes)}]].`;
}

/** In Erlang: lets nodes connect again, which they do by themselves. */
export function friendsOf(nodes: readonly string[]): string {
  return `[erlang:set_cookie(Node, ${secret}) || Node <- [${quoted(nodes)}]].`;
}

function quoted(nodes: readonly string[]): string {
  return nodes.map((node) => `'${node}'`).join(', ');
}

function clusterSettings(nodes: number): readonly string[] {
  if (nodes === 1) return [];
  return [
    'cluster_formation.peer_discovery_backend = classic_config',
    ...Array.from(
      { length: nodes },
      (_, index) => `cluster_formation.classic_config.nodes.${index + 1} = ${nodeName(index + 1)}`,
    ),
    // Else all leaders are on the node that clients connect to, and nobody sees one fail from another.
    'queue_leader_locator = balanced',
  ];
}
