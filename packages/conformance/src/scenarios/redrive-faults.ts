import { setTimeout as sleep } from 'node:timers/promises';
import { type Bus, type Driver, type RedriveResult, WaybillError } from '@waybill/core';
import { desk } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { wrapDriver } from '../wrap-driver.ts';
import { quiet } from './retry-helpers.ts';
import {
  bodiesOf,
  DESK,
  DeskRuns,
  idsOf,
  letterId,
  makeLetters,
  publishLetters,
  range,
  watchArchive,
  wearOut,
  WITH_ARCHIVE,
} from './redrive-letters.ts';

/** Beyond this many hand-outs, letters by the broker's own limit take too long to make. */
const WORN_OUT_AFTER = 200;
const LEASE_MS = 10_000;
/** Letters that a redrive moves at a time, at most. */
const PAGE = 100;
const BY_CORE = range(0, 300);
const BY_BROKER = range(300, 310);

export const redriveFaults: readonly Scenario[] = [
  {
    id: 'dead-lane',
    guarantee: 'redrive',
    sentence:
      "300 letters by the core and 10 by the broker's limit are listed by two clients, survive a redrive that is killed after 120 sends, and all go back to their own queue",
    needs: ['admin'],
    faults: ['cut', 'kill-process'],
    deadlineMs: 240_000,
    async run(kit: Kit) {
      const bus = kit.bus(WITH_ARCHIVE);
      const byBroker = kit.capabilities.maxDeliveries <= WORN_OUT_AFTER ? BY_BROKER : [];
      const all = [...BY_CORE, ...byBroker];
      if (byBroker.length > 0) await wearOut(kit, bus, byBroker);
      const sibling = await watchArchive(kit.bus(WITH_ARCHIVE));
      await makeLetters(kit, bus, BY_CORE);
      await kit.eventually('the sibling has its own copies', () => sibling.length >= all.length, 60_000);
      const bodies = await listThirtyTimes(kit, all);
      await kit.eventually(
        'depth counts what is listed',
        async () => (await bus.depth(desk)).deadLettered === all.length,
        90_000,
      );
      await killedRedrive(kit, 120, 'after');
      const heldUntil = Date.now() + LEASE_MS;
      const runs = new DeskRuns();
      const failed = await redriveWhileSomeFail(kit, runs, { all, heldUntil });
      const again = all.filter((n) => n >= 200);
      // What the dead process stored and did not settle is redriven twice; it dies twice, and is listed once.
      await kit.eventually(
        'depth counts each letter',
        async () => isWithin((await bus.depth(desk)).deadLettered, again.length, failed()),
        90_000,
      );
      const letters = await kit.letters(bus, desk);
      kit.same(letters.map(({ id }) => id).toSorted(), idsOf(again), 'letters that died again');
      const odd = letters.filter(
        ({ redrives, attempts, reason }) => redrives !== 1 || attempts !== 1 || reason !== 'handler-failed',
      );
      kit.same(
        odd.map(({ id, redrives, attempts, reason }) => [id, redrives, attempts, reason]),
        [],
        'letters without one redrive and one attempt',
        odd.map(({ id }) => id),
      );
      kit.same(bodiesOf(letters), bodiesIn(bodies, again), 'bodies after the redrive');
      kit.same(
        runs.runs.filter(({ context }) => context.attempt !== 1).map(({ id }) => id),
        [],
        'redriven messages whose attempt is not 1',
      );
      await publishLetters(bus, [999]);
      await kit.eventually('the sibling sees what is published later', () => sibling.includes(letterId(999)), 30_000);
      kit.same(sibling.toSorted(), idsOf([...all, 999]), 'what the sibling sees');
    },
  },
  {
    id: 'redrive-killed',
    guarantee: 'redrive',
    sentence: 'a redrive whose process is killed before or after its copies are stored loses no letter',
    needs: ['admin'],
    faults: ['kill-process'],
    deadlineMs: 120_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus(DESK);
      await makeLetters(kit, bus, range(0, 150));
      await killedRedrive(kit, 1, 'before');
      kit.same(
        (await lettersOnce(kit, bus, 150)).toSorted(),
        idsOf(range(0, 150)),
        'letters after a kill before the first copy',
      );
      await killedRedrive(kit, 120, 'after');
      await bus.redrive(desk);
      const runs = new DeskRuns();
      await runs.consume(kit.bus(DESK));
      await runs.handled(kit, range(0, 150));
      await redrivenToTheEnd(kit, bus);
      await quiet(kit, bus, LEASE_MS, () => runs.runs.length);
      const most = 150 + PAGE;
      const runCount = runs.runs.length;
      kit.check(
        runCount <= most,
        `the kill repeats at most the ${PAGE} that were on their way: ${runCount} runs of 150`,
      );
    },
  },
  {
    id: 'redrive-cut',
    guarantee: 'redrive',
    sentence: 'a redrive whose connection is cut says so or goes on, and one that is repeated moves the rest',
    needs: ['admin'],
    faults: ['cut'],
    deadlineMs: 120_000,
    async run(kit: Kit) {
      await makeLetters(kit, kit.bus(DESK), range(0, 400));
      let calls = 0;
      const cutting = (driver: Driver): Driver =>
        wrapDriver(driver, {
          send: async (batch, signal) => {
            await driver.send(batch, signal);
            calls += 1;
            if (calls === 2 || calls === 4) await kit.faults.cut();
          },
        });
      const bus = kit.bus({ ...DESK, driver: { leaseMs: LEASE_MS }, seam: cutting });
      const redriven = await redriveThrough(kit, bus);
      const runs = new DeskRuns();
      await runs.consume(kit.bus(DESK));
      await runs.handled(kit, range(0, 400));
      kit.check(redriven > 0 && redriven <= 400, `the redrive that ends counts what it moved of 400, not ${redriven}`);
      kit.check(calls >= 4, `the connection is cut twice meanwhile, after ${calls} calls`);
      await redrivenToTheEnd(kit, bus);
    },
  },
];

/** Lists with two clients at once, 15 times each. Every listing has every letter, with its reason and origin. */
async function listThirtyTimes(kit: Kit, all: readonly number[]): Promise<Readonly<Record<string, string>>> {
  const ids = idsOf(all);
  let bodies: Readonly<Record<string, string>> = {};
  const list = async (lister: Bus): Promise<void> => {
    for (let time = 0; time < 15; time += 1) {
      const letters = await kit.letters(lister, desk);
      kit.same(letters.map(({ id }) => id).toSorted(), ids, `letters in listing ${time}`);
      const unclear = letters.filter(({ reason, queue }) => reason === 'unknown' || queue !== 'desk');
      kit.same(
        unclear.map(({ id, reason, queue }) => [id, reason, queue]),
        [],
        'letters without reason or origin',
        unclear.map(({ id }) => id),
      );
      const byCore = letters.filter(({ reason }) => reason === 'rejected' || reason === 'handler-failed');
      kit.same(
        [byCore.length, byCore.filter(({ topic }) => topic !== 'notes').length],
        [BY_CORE.length, 0],
        'letters by the core, and those without their topic',
      );
      bodies = bodiesOf(letters);
    }
  };
  await Promise.all([list(kit.bus(DESK)), list(kit.bus(DESK))]);
  return bodies;
}

/** What a dead process held, or was on its way through a broken connection, can be moved after its lease. */
async function redrivenToTheEnd(kit: Kit, bus: Bus): Promise<void> {
  const noLetters = async (): Promise<boolean> => {
    await bus.redrive(desk);
    return (await kit.letters(bus, desk)).length === 0;
  };
  await kit.eventually('redrive leaves no letters', noLetters, LEASE_MS + 20_000);
}

const bodiesIn = (
  bodies: Readonly<Record<string, string>>,
  numbers: readonly number[],
): Readonly<Record<string, string>> => Object.fromEntries(idsOf(numbers).map((id) => [id, bodies[id] ?? '']));

/** Redrives desk in a process that dies around its copies. */
async function killedRedrive(kit: Kit, count: number, when: 'before' | 'after'): Promise<void> {
  const worker = await kit.worker(
    { queue: 'desk', redrives: true, diesAtCopy: { lane: 'work', count, when } },
    { leaseMs: LEASE_MS },
  );
  await worker.ended;
}

const isWithin = (value: number, least: number, most: number): boolean => value >= least && value <= most;

/**
 * Redrives everything at once, while the dead process may still hold some, and what it held afterwards. Numbers below 200
 * succeed and the others fail. Resolves once all have ended, with how many runs failed.
 */
async function redriveWhileSomeFail(
  kit: Kit,
  runs: DeskRuns,
  { all, heldUntil }: { readonly all: readonly number[]; readonly heldUntil: number },
): Promise<() => number> {
  const begun = new Begun();
  let failed = 0;
  const fails = async (n: number): Promise<boolean> => {
    if (n < 200 || n > 310) return false;
    await begun.waits;
    failed += 1;
    return true;
  };
  const bus = kit.bus({ ...DESK, seam: begun.seam });
  let ended: RedriveResult | undefined;
  const redriving = bus.redrive(desk).then((result) => (ended = result));
  // It is rejected where the scenario ends before it.
  redriving.catch(() => undefined);
  const consuming = kit.bus(DESK);
  await runs.consume(consuming, fails);
  await kit.eventually('redrive ends by itself', () => ended, 100_000).catch(() => undefined);
  kit.check(ended !== undefined, 'redrive ends by itself within 100 s');
  const { redriven, kept } = await redriving;
  kit.check(
    redriven <= all.length && kept === 0,
    `redrive ends after what was left of ${all.length}: ${redriven} moved, ${kept} kept`,
  );
  await sleep(Math.max(0, heldUntil + 1_000 - Date.now()));
  const allMoved = async (): Promise<boolean> => {
    await bus.redrive(desk, { where: ({ redrives }) => redrives === 0 });
    return (await kit.letters(bus, desk)).every(({ redrives }) => redrives > 0);
  };
  await kit.eventually('redrive leaves no letter that was never moved', allMoved, LEASE_MS + 20_000);
  await runs.handled(kit, all);
  await kit.eventually(
    'all runs have ended',
    async () => consuming.health().consumers[0]?.held === 0 && (await bus.depth(desk)).ready === 0,
    60_000,
  );
  return () => failed;
}

/** Tells when a redrive has begun: what dies before is older, and moved with the rest. */
class Begun {
  #begin: () => void = () => undefined;
  readonly waits: Promise<void> = new Promise<void>((resolve) => {
    this.#begin = resolve;
  }).then(() => sleep(50));

  readonly seam = (driver: Driver): Driver =>
    wrapDriver(driver, {
      subscribe: async (queue, lane, options) => {
        const subscription = await driver.subscribe(queue, lane, options);
        if (lane === 'dead') this.#begin();
        return subscription;
      },
    });
}

/** Redrives again after each rejection, which must be one that says so. Resolves with what the last one moved. */
async function redriveThrough(kit: Kit, bus: Bus): Promise<number> {
  for (let time = 0; time < 10; time += 1) {
    try {
      return (await bus.redrive(desk)).redriven;
    } catch (error) {
      kit.check(
        WaybillError.is(error) && error.retryable,
        `a redrive that is cut off may be repeated, not ${String(error)}`,
      );
    }
  }
  return 0;
}

/** Ids of all letters, as soon as there are so many: those of a dead process come back. */
async function lettersOnce(kit: Kit, bus: Bus, count: number): Promise<readonly string[]> {
  await kit.eventually(
    'the letters of the dead process are back',
    async () => (await bus.depth(desk)).deadLettered >= count,
    LEASE_MS + 20_000,
  );
  return (await kit.letters(bus, desk)).map(({ id }) => id);
}
