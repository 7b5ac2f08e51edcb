// Controllers under test: an API server in memory, and time that moves when the test says so.
import type { ControllerPorts } from '../../src/controllers/ports.ts';
import { FakeKube } from '../support/fake-kube.ts';
import { noMeter, quietLog } from '../sources/harness.ts';
import { ManualTimers } from '../xds/support.ts';

export interface Rig {
  readonly kube: FakeKube;
  readonly timers: ManualTimers;
  readonly ports: ControllerPorts;
}

export function rigOf(): Rig {
  const kube = new FakeKube();
  const timers = new ManualTimers();
  const clock = { now: () => timers.now };
  return { kube, timers, ports: { api: kube, clock, timers, random: () => 0, log: quietLog, meter: noMeter } };
}

/** Lets everything that is not waiting for time come to rest. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Lets time pass in small steps, with everything at rest after each. */
export async function pass(timers: ManualTimers, ms: number, step = 100): Promise<void> {
  for (let passed = 0; passed < ms; passed += step) {
    timers.advance(Math.min(step, ms - passed));
    await settle();
  }
}
