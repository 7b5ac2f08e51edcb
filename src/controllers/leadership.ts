// Which replica does the work that one alone may do. Two leases: one of the cluster, for what all revisions share, and one
// of the revision. In: the running server. Out: controllers that run while their lease is held. Called by server/kube.ts.

import type { Plane } from '../plane/plane.ts';
import type { KubernetesSource } from '../sources/kubernetes.ts';
import { DEFAULT_REVISION } from '../sources/kube-scope.ts';
import { Election } from './lease.ts';
import type { ControllerPorts } from './ports.ts';
import { rootCertController, type RootSource } from './root-certs.ts';
import { webhookBundleController } from './webhook-bundles.ts';

export interface LeadershipOptions {
  readonly ports: ControllerPorts;
  readonly systemNamespace: string;
  /** Empty for the unnamed one. */
  readonly revision: string;
  /** Of this replica, unique among all. */
  readonly replica: string;
  readonly plane: Plane;
  readonly cluster: KubernetesSource | undefined;
  readonly roots: RootSource;
}

const CLUSTER_LEASE = 'meltemi-cluster-leader';
const REVISION_LEASE = 'meltemi-leader-';

export class Leadership {
  readonly #elections: readonly Election[];

  constructor(options: LeadershipOptions) {
    const { ports, systemNamespace, revision, replica, roots, cluster } = options;
    const leading = ports.meter.gauge('meltemi_leading', '1 while this replica holds the lease.', ['lease']);
    const election = (name: string, lead: (signal: AbortSignal) => void): Election => {
      leading.set(0, { lease: name });
      return new Election({
        ...{ ...ports, namespace: systemNamespace, name, identity: replica },
        lead: (signal) => {
          leading.set(1, { lease: name });
          signal.addEventListener('abort', () => leading.set(0, { lease: name }), { once: true });
          lead(signal);
        },
      });
    };
    const selected = (namespace: string): boolean => cluster?.selected(namespace) ?? true;
    const onSelection = (listener: () => void) => cluster?.onSelection(listener) ?? (() => undefined);
    this.#elections = [
      election(CLUSTER_LEASE, (signal) => rootCertController({ ...ports, roots, selected, onSelection }, signal)),
      election(`${REVISION_LEASE}${revision === '' ? DEFAULT_REVISION : revision}`, (signal) =>
        webhookBundleController({ ...ports, roots, revision }, signal),
      ),
    ];
  }

  start(): void {
    for (const election of this.#elections) election.start();
  }

  /** Gives the leases up, so that others take over at once. */
  async stop(): Promise<void> {
    await Promise.all(this.#elections.map((election) => election.stop()));
  }
}
