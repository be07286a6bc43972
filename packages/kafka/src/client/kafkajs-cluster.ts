import kafkajs, { type Broker, type Cluster, type Kafka } from 'kafkajs';

/** What kafkajs' own consumer calls on a node and its types leave out. */
export interface Node extends Omit<Broker, 'fetch'> {
  fetch(request: Parameters<Broker['fetch']>[0]): Promise<{
    readonly responses: readonly { readonly topicName: string; readonly partitions: readonly FetchedPartition[] }[];
  }>;
  joinGroup(request: {
    readonly groupId: string;
    readonly sessionTimeout: number;
    readonly rebalanceTimeout: number;
    readonly memberId: string;
    readonly groupProtocols: readonly { readonly name: string; readonly metadata: Buffer }[];
  }): Promise<Joined>;
  syncGroup(request: {
    readonly groupId: string;
    readonly generationId: number;
    readonly memberId: string;
    readonly groupAssignment: readonly { readonly memberId: string; readonly memberAssignment: Buffer }[];
  }): Promise<{ readonly memberAssignment: Buffer }>;
  heartbeat(request: GroupRequest): Promise<unknown>;
  findGroupCoordinator(request: { readonly groupId: string; readonly coordinatorType: number }): Promise<unknown>;
  deleteRecords(request: {
    readonly topics: readonly {
      readonly topic: string;
      readonly partitions: readonly { readonly partition: number; readonly offset: string }[];
    }[];
  }): Promise<unknown>;
  leaveGroup(request: { readonly groupId: string; readonly memberId: string }): Promise<unknown>;
}

/** Of coordinators, there are those of transactions too. */
const GROUP = 0;

export interface GroupRequest {
  readonly groupId: string;
  readonly groupGenerationId: number;
  readonly memberId: string;
}

export interface Joined {
  readonly generationId: number;
  readonly leaderId: string;
  readonly memberId: string;
  readonly members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[];
}

/** A committed offset, a fetched partition: as kafkajs decodes them. */
export interface FetchedPartition {
  readonly partition: number;
  readonly messages: readonly FetchedMessage[];
  readonly abortedTransactions: readonly { readonly producerId: string; readonly firstOffset: string }[] | null;
}

export interface FetchedMessage {
  readonly offset: string;
  readonly timestamp: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: Readonly<Record<string, Buffer | Buffer[] | undefined>>;
  readonly isControlRecord?: boolean;
  readonly batchContext?: {
    readonly firstOffset: string;
    readonly lastOffsetDelta: number;
    readonly producerId: string;
    readonly inTransaction: boolean;
  };
}

export interface OpenCluster extends Omit<Cluster, 'findBroker' | 'findGroupCoordinator' | 'getNodeIds'> {
  /** Asked about whenever metadata is refreshed. */
  readonly targetTopics: Set<string>;
  getNodeIds(): readonly string[];
  findBroker(node: { readonly nodeId: string }): Promise<Node>;
  findGroupCoordinator(group: { readonly groupId: string }): Promise<Node>;
}

/** The node that keeps a group; kafkajs says only that it found none, whatever the reason. */
export async function coordinatorOf(cluster: OpenCluster, groupId: string): Promise<Node> {
  try {
    return await cluster.findGroupCoordinator({ groupId });
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'KafkaJSGroupCoordinatorNotFound') throw error;
    const [nodeId] = cluster.getNodeIds();
    if (nodeId === undefined) throw error;
    const node = await cluster.findBroker({ nodeId });
    await node.findGroupCoordinator({ groupId, coordinatorType: GROUP });
    throw error;
  }
}

/**
 * The connections and metadata that kafkajs keeps for a consumer, which it hands to every assigner that it is given. Its
 * own consumer is never run: docs/decisions/0011-kafka-members-of-our-own.md says why.
 */
export function openCluster(kafka: Kafka, groupId: string): OpenCluster {
  let opened: Cluster | undefined;
  kafka.consumer({
    groupId,
    allowAutoTopicCreation: false,
    metadataMaxAge: 30_000,
    partitionAssigners: [
      ({ cluster }) => {
        opened = cluster;
        return {
          name: 'waybill',
          version: 1,
          assign: () => Promise.resolve([]),
          protocol: ({ topics }) => ({
            name: 'waybill',
            metadata: kafkajs.AssignerProtocol.MemberMetadata.encode({ version: 1, topics, userData: Buffer.alloc(0) }),
          }),
        };
      },
    ],
  });
  return opened as unknown as OpenCluster;
}
