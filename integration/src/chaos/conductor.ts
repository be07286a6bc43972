import { mkdtempSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Harness, Session } from '@waybill/conformance';
import { type Bus, createBus } from '@waybill/core';
import { cacheFile } from '../paths.ts';
import { checkRun, type Verdict } from './check.ts';
import { QUEUES, Taken } from './contracts.ts';
import { Crew } from './crew.ts';
import { byConsumer, disturb, label, type Scene } from './disturb.ts';
import { drain, writeLetters } from './drain.ts';
import { Journal } from './journal.ts';
import { Live } from './live.ts';
import { durationOf, makePlan, type Plan } from './plan.ts';
import { Problems } from './problems.ts';
import { LEASE_MS, Workload } from './workload.ts';

export interface RunOptions {
  readonly harness: Harness;
  readonly messages: number;
  /** How long they are published; by default it follows from their number. */
  readonly seconds?: number | undefined;
  readonly seed: number;
  /** Kinds of faults; all that the harness can do without it. */
  readonly only?: readonly string[];
  readonly mutant?: string | undefined;
}

export interface Outcome extends Verdict {
  readonly plan: Plan;
  readonly folder: string;
  readonly startedAt: number;
  readonly version: string;
  readonly tookMs: number;
}

/** Publishers have this much longer than planned, for what faults hold up. */
const LATE_MS = 180_000;

/** Runs the workload under the faults of a plan, then checks it. Rejects where it cannot be run at all. */
export async function runChaos({ harness, messages, seconds, seed, only = [], mutant }: RunOptions): Promise<Outcome> {
  const durationMs = seconds === undefined ? durationOf(messages) : seconds * 1_000;
  const plan = makePlan(durationMs, seed, harness, only);
  const session = await harness.open();
  const { worker: module } = session;
  if (module === undefined) throw new Error(`${harness.name} cannot be shared by processes: take another broker.`);
  const began = performance.now();
  const folder = mkdtempSync(cacheFile('chaos-'));
  const prefix = `chaos-${seed % 10_000}-${process.pid}`;
  const bus = createBus({
    source: '/chaos',
    driver: session.createDriver({ leaseMs: LEASE_MS }),
    uses: [Taken, QUEUES.ordered, QUEUES.concurrent],
    prefix,
  });
  const journal = new Journal(folder);
  const problems = new Problems();
  const workload = new Workload(messages, seed);
  const crew = new Crew({ workload, journal, folder, module, prefix, durationMs, mutant });
  const abandon = abandonOnSignal(crew, harness);
  try {
    await bus.provision();
    await perform({ bus, crew, plan, problems, journal, session, folder });
    const { startedAt, disruptions, ends } = journal;
    const memories = crew.members.flatMap((member) => member.memories);
    const verdict = checkRun({ folder, workload, startedAt, disruptions, ends, memories }, problems);
    const tookMs = Math.round(performance.now() - began);
    return { ...verdict, plan, folder, startedAt, version: await harness.version(), tookMs };
  } finally {
    abandon();
    await Promise.all(crew.members.map((member) => member.abandon()));
    const topology = bus.topology();
    await bus.close({ deadlineMs: 5_000 });
    await session.close(prefix, topology);
  }
}

interface Performance {
  readonly bus: Bus;
  readonly crew: Crew;
  readonly plan: Plan;
  readonly problems: Problems;
  readonly journal: Journal;
  readonly session: Session;
  readonly folder: string;
}

/** From the first process to the last. */
async function perform({ bus, crew, plan, problems, journal, session, folder }: Performance): Promise<void> {
  await crew.start();
  const live = new Live(crew);
  try {
    const scene = { crew, faults: session.faults, journal, queues: byConsumer(bus.topology().queues) };
    await followPlan(plan, scene, { live, problems });
    live.on('publishes the rest');
    const over = Promise.all(crew.publishers.map((member) => member.done())).then(() => true);
    if (!(await Promise.race([over, sleep(LATE_MS, false, { ref: false })]))) {
      problems.add({ check: 'published', what: `publishers were not done ${LATE_MS / 1_000} s after the last fault` });
    }
    live.off('publishes the rest');
    live.on('drains');
    await drain(bus, crew, problems);
    live.off('drains');
    live.on('closes');
    await Promise.all(crew.members.map((member) => member.end()));
    await writeLetters(bus, folder);
    live.off('closes');
  } finally {
    live.close();
  }
}

async function followPlan(
  { steps }: Plan,
  scene: Scene,
  { live, problems }: { readonly live: Live; readonly problems: Problems },
): Promise<void> {
  const beganAt = performance.now();
  const beside: Promise<void>[] = [];
  for (const step of steps) {
    await sleep(Math.max(0, step.atMs - (performance.now() - beganAt)));
    live.on(label(step));
    const done = disturb(scene, step)
      .catch((error: unknown) => problems.add({ check: 'faults', what: `${label(step)}: ${String(error)}` }))
      .finally(() => live.off(label(step)));
    if (step.fault.startsWith('freeze-')) beside.push(done);
    else await done;
  }
  await Promise.all(beside);
}

/** Frozen processes and containers would outlive this one. Returns how to stop watching. */
function abandonOnSignal(crew: Crew, harness: Harness): () => void {
  const abandon = (): void => {
    void Promise.all(crew.members.map((member) => member.abandon()))
      .then(() => harness.close())
      .finally(() => process.exit(130));
  };
  process.once('SIGINT', abandon);
  process.once('SIGTERM', abandon);
  return () => {
    process.off('SIGINT', abandon);
    process.off('SIGTERM', abandon);
  };
}
