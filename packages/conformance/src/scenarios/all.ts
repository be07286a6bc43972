import type { Scenario } from '../scenario.ts';
import { drainFaults } from './drain-faults.ts';
import { drain } from './drain.ts';
import { leaseFaults } from './lease-faults.ts';
import { lease } from './lease.ts';
import { delayFaults } from './delay-faults.ts';
import { delay } from './delay.ts';
import { poison } from './poison.ts';
import { poisonFaults } from './poison-faults.ts';
import { versions } from './versions.ts';
import { versionsSkew } from './versions-skew.ts';
import { retry } from './retry.ts';
import { deadLetter } from './dead-letter.ts';
import { deadLetterFaults } from './dead-letter-faults.ts';
import { order } from './order.ts';
import { orderFaults } from './order-faults.ts';
import { stored } from './stored.ts';
import { atLeastOnce } from './at-least-once.ts';
import { copies } from './copies.ts';
import { attempts } from './attempts.ts';
import { attemptsFaults } from './attempts-faults.ts';
import { fidelity } from './fidelity.ts';
import { fidelityFaults } from './fidelity-faults.ts';
import { recoveryHealth } from './recovery-health.ts';
import { recovery } from './recovery.ts';
import { redrive } from './redrive.ts';
import { redriveFaults } from './redrive-faults.ts';
import { depth } from './depth.ts';
import { refusal } from './refusal.ts';
import { secrets } from './secrets.ts';

/** All of them, in the order of the guarantees. */
export const SCENARIOS: readonly Scenario[] = [
  ...stored,
  ...atLeastOnce,
  ...copies,
  ...attempts,
  ...attemptsFaults,
  ...retry,
  ...deadLetter,
  ...deadLetterFaults,
  ...poison,
  ...poisonFaults,
  ...versions,
  ...versionsSkew,
  ...order,
  ...orderFaults,
  ...delay,
  ...delayFaults,
  ...lease,
  ...leaseFaults,
  ...drain,
  ...drainFaults,
  ...recovery,
  ...recoveryHealth,
  ...redrive,
  ...redriveFaults,
  ...depth,
  ...fidelity,
  ...fidelityFaults,
  ...refusal,
  ...secrets,
];
