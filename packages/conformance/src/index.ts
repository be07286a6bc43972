export { GUARANTEES, type Guarantee } from './guarantees.ts';
export type {
  CreateDriver,
  DriverSettings,
  Extent,
  FaultName,
  Faults,
  Harness,
  Session,
  WorkerModule,
} from './harness.ts';
export type { Entry, History, What } from './history.ts';
export type { Kit } from './kit.ts';
export { registerConformance, type RegisterOptions } from './register.ts';
export { type Outcome, type Result, runScenario, runScenarios, type RunOptions, selectScenarios } from './run.ts';
export type { Need, Scenario } from './scenario.ts';
export { SCENARIOS } from './scenarios/all.ts';
export { wrapDriver } from './wrap-driver.ts';
