import { byDeadline, pause, systemClock, WaybillError } from '@waybill/core/driver';
import kafkajs, { type Kafka } from 'kafkajs';
import { toWaybillError, typeOf } from '../kafka-error.ts';
import { coordinatorOf, type Joined, type Node, type OpenCluster, openCluster } from './kafkajs-cluster.ts';
import { KafkajsFetchers } from './kafkajs-fetchers.ts';
import {
  byTopic,
  type ClientGroup,
  type Commit,
  type GroupOptions,
  type Member,
  placesIn,
  type Share,
} from './port.ts';
import { Wakeable } from './wakeable.ts';

const PROTOCOL = 'waybill';
/** So long the others wait in a rebalance for one who does not answer. No handler is waited for, so it can be short. */
const REBALANCE_TIMEOUT_MS = 15_000;
/** To commit what may be lost by a rebalance. */
const LEAVING_MS = 2_000;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 1_000;

/** Membership: join, say that we live, commit, leave; by our own clock, whatever handlers and fetches do. */
export class KafkajsGroup implements ClientGroup {
  readonly #options: GroupOptions;
  readonly #cluster: OpenCluster;
  readonly #fetchers: KafkajsFetchers;
  readonly #stop = new AbortController();
  readonly #joining = new Wakeable();
  #coordinator: Node | undefined;
  #memberId = '';
  #generation = -1;
  #isMember = false;
  /** Nothing that was assigned before may be taken for ours. */
  #broken = true;
  #heardAt = 0;
  #down = false;
  #rejoins = false;
  /** How many partitions each topic had when this process joined. */
  #counts: ReadonlyMap<string, number> = new Map();
  readonly #beatNow = new Wakeable();
  #running: Promise<void> | undefined;
  #started: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;

  constructor(kafka: Kafka, options: GroupOptions) {
    this.#options = options;
    this.#cluster = openCluster(kafka, options.groupId);
    this.#fetchers = new KafkajsFetchers(this.#cluster, { ...options, onDown: (cause) => this.#failed(cause) });
  }

  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#started = { resolve, reject };
      this.#running = this.#run();
    });
  }

  rejoin(): void {
    this.#rejoins = true;
    this.#beatNow.wake();
  }

  wake(): void {
    this.#fetchers.wake();
  }

  async commit(offsets: readonly Commit[]): Promise<void> {
    const attempted = `commit to group ${this.#options.groupId}`;
    const generation = this.#generation;
    if (this.#coordinator === undefined || generation < 0) throw lost(attempted);
    try {
      await this.#coordinator.offsetCommit({ ...this.#request(), topics: toCommits(offsets) });
      this.#heard();
    } catch (error) {
      const cause = toWaybillError(error, attempted);
      // Of an earlier generation: what is still ours is committed with the next one.
      if (generation !== this.#generation) throw new WaybillError('UNAVAILABLE', cause.message, { cause });
      if (cause.code === 'LEASE_LOST') this.#lose(cause);
      else if (isRebalancing(error)) this.rejoin();
      throw cause;
    }
  }

  async prove(): Promise<void> {
    const seen = this.#joining.count;
    // The answer to a join is the proof.
    if (!this.#isMember) return this.#joining.wait(seen);
    await this.#beatOnce();
  }

  async close(deadlineMs: number): Promise<void> {
    this.#stop.abort();
    this.#fetchers.stop();
    this.#joining.wake();
    this.#beatNow.wake();
    this.#started?.reject(new WaybillError('CLOSED', `The consumer of ${this.#options.groupId} was closed.`));
    const leave = this.#memberId === '' ? undefined : this.#coordinator?.leaveGroup(this.#request());
    if (leave !== undefined) await byDeadline(deadlineMs, leave);
    const disconnected = this.#cluster.disconnect().catch(() => undefined);
    await byDeadline(deadlineMs, Promise.all([disconnected, this.#running]));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#cluster.connect();
        await this.#cluster.addMultipleTargetTopics([...this.#options.topics]);
        await this.#join();
        failures = 0;
        await this.#beat();
      } catch (error) {
        if (signal.aborted) return;
        if (isRebalancing(error)) continue;
        if (this.#isUnknown(error)) continue;
        if (!this.#broken && this.#heardAt + this.#options.sessionTimeoutMs <= systemClock.now()) this.#expire();
        if (this.#isRefused(error)) return;
        failures += 1;
        await pause(systemClock, Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** failures), signal);
      } finally {
        this.#isMember = false;
      }
    }
  }

  async #join(): Promise<void> {
    const { groupId, sessionTimeoutMs, onLeaving, onAssigned } = this.#options;
    if (!this.#broken) await byDeadline(systemClock.now() + LEAVING_MS, onLeaving());
    const before = { memberId: this.#memberId, generation: this.#generation };
    const coordinator = await coordinatorOf(this.#cluster, groupId);
    this.#coordinator = coordinator;
    const joined = await coordinator.joinGroup({
      groupId,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: Math.max(REBALANCE_TIMEOUT_MS, sessionTimeoutMs),
      memberId: this.#memberId,
      groupProtocols: [{ name: PROTOCOL, metadata: this.#metadata() }],
    });
    this.#memberId = joined.memberId;
    this.#generation = joined.generationId;
    const answer = await coordinator.syncGroup({
      groupId,
      generationId: joined.generationId,
      memberId: joined.memberId,
      groupAssignment: await this.#assignmentsOf(joined),
    });
    if (this.#stop.signal.aborted) return;
    const share = readShare(answer.memberAssignment);
    const isNext = joined.generationId === before.generation + 1 && joined.memberId === before.memberId;
    const continued = !this.#broken && isNext;
    this.#broken = this.#rejoins = false;
    this.#isMember = true;
    this.#counts = new Map(this.#options.topics.map((topic) => [topic, this.#countOf(topic)]));
    onAssigned(share, continued);
    this.#heard();
    this.#fetchers.assign(placesIn(share.assignment));
    this.#joining.wake();
    this.#started?.resolve();
    this.#started = undefined;
  }

  #metadata(): Buffer {
    const { topics, claim } = this.#options;
    const userData = Buffer.from(claim());
    return kafkajs.AssignerProtocol.MemberMetadata.encode({ version: 1, topics: [...topics], userData });
  }

  /** The leader of the group assigns for all; the others say nothing. */
  async #assignmentsOf({
    leaderId,
    memberId,
    members,
  }: Joined): Promise<{ memberId: string; memberAssignment: Buffer }[]> {
    if (leaderId !== memberId) return [];
    const known: Member[] = members.map((member) => {
      const read = kafkajs.AssignerProtocol.MemberMetadata.decode(member.memberMetadata);
      return { id: member.memberId, topics: read?.topics ?? [], claim: read?.userData?.toString() ?? '' };
    });
    const topics = [...new Set(known.flatMap((member) => member.topics))];
    // What only others know, too: in a rolling deploy the leader may be of the older version.
    await this.#cluster.addMultipleTargetTopics(topics);
    await this.#cluster.refreshMetadata();
    const counts = new Map(topics.map((topic) => [topic, this.#cluster.findTopicPartitionMetadata(topic).length]));
    return [...this.#options.assign(known, counts)].map(([id, { assignment, surplus }]) => ({
      memberId: id,
      memberAssignment: kafkajs.AssignerProtocol.MemberAssignment.encode({
        version: 1,
        assignment: Object.fromEntries([...assignment].map(([topic, partitions]) => [topic, [...partitions]])),
        userData: Buffer.from(surplus.join(',')),
      }),
    }));
  }

  /** Ends when it is time to join again. */
  async #beat(): Promise<void> {
    const { sessionTimeoutMs } = this.#options;
    const everyMs = Math.min(1_000, sessionTimeoutMs / 5);
    while (!this.#stop.signal.aborted) {
      const seen = this.#beatNow.count;
      if (!this.#rejoins) await byDeadline(systemClock.now() + everyMs, this.#beatNow.wait(seen));
      if (this.#stop.signal.aborted || this.#broken || this.#rejoins) return;
      if (this.#hasGrown()) return;
      const beat = this.#beatOnce().catch(() => true);
      await byDeadline(this.#heardAt + sessionTimeoutMs, beat);
      if (this.#heardAt + sessionTimeoutMs <= systemClock.now()) this.#expire();
      if (!(await beat)) return;
    }
  }

  /** Whether a topic has other partitions than when this process joined; looked up twice a minute. */
  #hasGrown(): boolean {
    void this.#cluster.refreshMetadataIfNecessary().catch(() => undefined);
    const grown = this.#options.topics.find((topic) => this.#countOf(topic) > (this.#counts.get(topic) ?? 0));
    if (grown === undefined) return false;
    const change = `${this.#countOf(grown)} partitions, and had ${this.#counts.get(grown)}`;
    this.#options.onNote(`Topic ${grown} has ${change}: group ${this.#options.groupId} joins again.`);
    return true;
  }

  #countOf(topic: string): number {
    try {
      return this.#cluster.findTopicPartitionMetadata(topic).length;
    } catch {
      return 0;
    }
  }

  /** False: the group wants everybody to join again. */
  async #beatOnce(): Promise<boolean> {
    const { groupId } = this.#options;
    const generation = this.#generation;
    try {
      await (this.#coordinator as Node).heartbeat(this.#request());
      this.#heard();
      return !this.#broken;
    } catch (error) {
      const type = typeOf(error);
      if (type === 'REBALANCE_IN_PROGRESS') {
        this.#heard();
        return false;
      }
      const cause = toWaybillError(error, `say to group ${groupId} that this process lives`);
      if (cause.code === 'LEASE_LOST') {
        if (generation === this.#generation) this.#lose(cause);
        return false;
      }
      this.#failed(cause);
      await this.#findCoordinator();
      throw cause;
    }
  }

  async #findCoordinator(): Promise<void> {
    try {
      this.#coordinator = await coordinatorOf(this.#cluster, this.#options.groupId);
    } catch {
      // The next beat says so, and looks again.
    }
  }

  #expire(): void {
    this.#lose(new WaybillError('LEASE_LOST', `Group ${this.#options.groupId} could not be reached for a session.`));
  }

  /** What was held is somebody else's, or will be. */
  #lose(cause: WaybillError): void {
    if (typeOf(cause) === 'UNKNOWN_MEMBER_ID') this.#memberId = '';
    if (this.#broken) return;
    this.#broken = true;
    this.#isMember = false;
    this.#fetchers.assign([]);
    this.#options.onLost(cause);
  }

  /** It took too long to join, or the group was made anew. */
  #isUnknown(error: unknown): boolean {
    if (typeOf(error) !== 'UNKNOWN_MEMBER_ID' || this.#memberId === '') return false;
    this.#lose(toWaybillError(error, `join group ${this.#options.groupId}`));
    return true;
  }

  #isRefused(error: unknown): boolean {
    const cause = toWaybillError(error, `join group ${this.#options.groupId}`);
    this.#failed(cause);
    // Whoever waits for the first time tries again, or gives up.
    if (this.#started === undefined) return false;
    this.#started.reject(cause);
    this.#started = undefined;
    return true;
  }

  #request(): { readonly groupId: string; readonly memberId: string; readonly groupGenerationId: number } {
    return { groupId: this.#options.groupId, memberId: this.#memberId, groupGenerationId: this.#generation };
  }

  #failed(cause: WaybillError): void {
    if (this.#stop.signal.aborted) return;
    this.#down = true;
    this.#options.onDown(cause);
  }

  #heard(): void {
    this.#heardAt = systemClock.now();
    if (!this.#down) return;
    this.#down = false;
    this.#options.onUp();
  }
}

function isRebalancing(error: unknown): boolean {
  const type = typeOf(error);
  return type === 'REBALANCE_IN_PROGRESS' || type === 'ILLEGAL_GENERATION';
}

function lost(attempted: string): WaybillError {
  return new WaybillError('LEASE_LOST', `Could not ${attempted}: this process is no member of it now.`);
}

function readShare(bytes: Buffer): Share {
  const decoded = kafkajs.AssignerProtocol.MemberAssignment.decode(bytes);
  const surplus = decoded?.userData.toString() ?? '';
  return {
    assignment: new Map(Object.entries(decoded?.assignment ?? {})),
    surplus: surplus === '' ? [] : surplus.split(',').map(Number),
  };
}

/** As kafkajs takes commits; metadata is sent along, whatever its types say. */
export function toCommits(
  offsets: readonly Commit[],
): { topic: string; partitions: { partition: number; offset: string; metadata: string }[] }[] {
  return [...byTopic(offsets)].map(([topic, commits]) => ({
    topic,
    partitions: commits.map(({ partition, offset, metadata }) => ({ partition, offset: String(offset), metadata })),
  }));
}
