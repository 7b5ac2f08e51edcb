// What registration needs of the place where WorkloadEntries are kept: in memory beside a folder of files (memory.ts), or
// a Kubernetes API.

import type { WorkloadEntrySpec, WorkloadGroupSpec } from '../config/generated/types.ts';
import type { ConfigObject } from '../config/object.ts';

export type WorkloadGroup = ConfigObject<WorkloadGroupSpec>;

/** As `status.conditions` of a WorkloadEntry has it. */
export interface HealthCondition {
  readonly type: 'Healthy';
  readonly status: 'True' | 'False';
  readonly message: string;
  /** RFC 3339 */
  readonly lastProbeTime: string;
  readonly lastTransitionTime: string;
}

export type WorkloadEntry = ConfigObject<
  WorkloadEntrySpec,
  { readonly conditions: readonly { readonly type: string; readonly status: string }[] }
>;

export interface EntryChange {
  /** Undefined takes one away; those not named stay. */
  readonly annotations?: Readonly<Record<string, string | undefined>>;
  /** The condition `Healthy`; 'none' takes it away. */
  readonly health?: HealthCondition | 'none';
}

/** The newest objects that this process knows of. */
export interface EntryReader {
  group(namespace: string, name: string): WorkloadGroup | undefined;
  entry(namespace: string, name: string): WorkloadEntry | undefined;
  entries(): Iterable<WorkloadEntry>;
}

/** Rejections are reported, and tried again where that may help. */
export interface EntryWriter {
  /** `group` is its owner: it goes with the group. */
  create(entry: WorkloadEntry, group: WorkloadGroup): Promise<void>;
  /** `entry` is what the change was decided on: an entry that is another by now rejects. */
  change(entry: WorkloadEntry, change: EntryChange): Promise<void>;
  remove(entry: WorkloadEntry): Promise<void>;
}

export const ANNOTATION = {
  group: 'istio.io/autoRegistrationGroup',
  controller: 'istio.io/workloadController',
  connectedAt: 'istio.io/connectedAt',
  disconnectedAt: 'istio.io/disconnectedAt',
  healthChecks: 'proxy.istio.io/health-checks-enabled',
} as const;
