// Which replica does the work that one alone may do. Two leases: one of the cluster, for what all revisions share, and one
// of the revision. In: the running server. Out: controllers that run while their lease is held, and this replica's report
// to whoever leads. Called by server/kube.ts.

import type { Plane } from '../plane/plane.ts';
import type { StreamProgress } from '../plane/reach.ts';
import { emptyTable, type Table } from '../lib/table.ts';
import { NO_VIPS } from '../registry/vips.ts';
import type { ServiceEntry } from '../registry/input.ts';
import type { KubernetesSource } from '../sources/kubernetes.ts';
import { DEFAULT_REVISION } from '../sources/kube-scope.ts';
import type { Store } from '../store/store.ts';
import { wait } from '../sources/wait.ts';
import { Election } from './lease.ts';
import type { ControllerPorts } from './ports.ts';
import { OwnReport } from './own-report.ts';
import { ReportWriter, type ReportsOptions } from './reports.ts';
import { rootCertController, type RootSource } from './root-certs.ts';
import { statusController } from './status-writer.ts';
import { vipController } from './vip-writer.ts';
import { webhookBundleController } from './webhook-bundles.ts';

export interface LeadershipOptions {
  readonly ports: ControllerPorts;
  readonly systemNamespace: string;
  /** Empty for the unnamed one. */
  readonly revision: string;
  /** Of this replica, unique among all. */
  readonly replica: string;
  readonly plane: Plane;
  readonly store: Store;
  readonly streams: () => Promise<readonly StreamProgress[]>;
  /** Lets waiting events be handled. */
  readonly yieldLoop: () => Promise<void>;
  /** Whether conditions of the user's objects are kept. */
  readonly writeStatus: boolean;
  readonly cluster: KubernetesSource | undefined;
  readonly roots: RootSource;
}

const CLUSTER_LEASE = 'meltemi-cluster-leader';
const REVISION_LEASE = 'meltemi-leader-';
/** Between reports of a replica, with up to a fifth of jitter, ms. */
const REPORT_MS = 5_000;

export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #elections: readonly Election[];
  readonly #reports: ReportsOptions;
  readonly #writer: ReportWriter;
  readonly #own: OwnReport;
  readonly #stop = new AbortController();
  #reporting: Promise<void> = Promise.resolve();

  constructor(options: LeadershipOptions) {
    this.#options = options;
    const { ports, systemNamespace, replica, roots, cluster } = options;
    const revision = options.revision === '' ? DEFAULT_REVISION : options.revision;
    this.#reports = { ...ports, namespace: systemNamespace, revision, replica };
    this.#writer = new ReportWriter(this.#reports);
    this.#own = new OwnReport({ ...options, ...ports });
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
      election(`${REVISION_LEASE}${revision}`, (signal) => {
        webhookBundleController({ ...ports, roots, revision }, signal);
        if (options.writeStatus) statusController(this.#statusOptions(), signal);
        this.#writeVips(signal);
      }),
    ];
  }

  start(): void {
    for (const election of this.#elections) election.start();
    if (this.#options.writeStatus) this.#reporting = this.#report(this.#stop.signal);
  }

  /** Gives the leases up, so that others take over at once. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#elections.map((election) => election.stop()));
    await this.#reporting;
  }

  #statusOptions(): Parameters<typeof statusController>[0] {
    const { plane, store, cluster } = this.#options;
    const ownerOf: KubernetesSource['ownerOf'] = (namespace, labels) => cluster?.ownerOf(namespace, labels) ?? 'own';
    return { ...this.#reports, store, ownerOf, rejections: () => plane.nacks.findings() };
  }

  #writeVips(signal: AbortSignal): void {
    const { ports, plane, cluster } = this.#options;
    vipController(
      {
        ...ports,
        vips: () => plane.snapshot?.registry.vips ?? NO_VIPS,
        entries: () => (plane.snapshot?.registry.state.tables.serviceEntries ?? emptyTable()) as Table<ServiceEntry>,
        owned: ({ namespace, labels }) => (cluster?.ownerOf(namespace, labels) ?? 'own') === 'own',
        onChange: (listener) => plane.onSettled(listener),
      },
      signal,
    );
  }

  async #report(signal: AbortSignal): Promise<void> {
    const { ports } = this.#options;
    let failure = '';
    while (!signal.aborted) {
      try {
        await this.#writer.publish(await this.#own.current(signal), signal);
      } catch (error) {
        const text = String(error);
        if (text !== failure && !signal.aborted) ports.log.info({ error: text }, 'report not written');
        failure = text;
      }
      await wait(ports.timers, REPORT_MS * (1 + ports.random() / 5), signal);
    }
    await this.#writer.withdraw(AbortSignal.timeout(1_000));
  }
}
