// The cluster's half of the server: what an API server is asked, what it is told, and by whom of several replicas.
// In: a kubeconfig or the cluster around the process. Out: the source of objects, mesh settings, the root's Secret, token and
// access reviews, and the leader's work. Called by server.ts; undefined where only a folder is served.

import { hostname } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Authenticator } from '../ca/authenticators.ts';
import { kubernetesAuthenticator } from '../ca/authenticators.ts';
import type { Authority } from '../ca/authority.ts';
import { DEFAULT_AUDIENCE } from '../ca/identity.ts';
import type { RootStore } from '../ca/root-store.ts';
import type { MeshConfig } from '../config/mesh.ts';
import type { SecretAccess } from '../plane/secret-access.ts';
import type { EntryWriter } from '../registration/port.ts';
import type { KubernetesSource } from '../sources/kubernetes.ts';
import type { MeshSettings, MeshSource } from '../sources/mesh-reading.ts';
import type { ServerOptions, World } from '../server.ts';
import type { StreamProgress } from '../xds/status.ts';
import type { ConfigSide } from './config.ts';

export interface KubeSide {
  readonly rootStore: RootStore;
  readonly secretAccess: SecretAccess;
  /** Of workloads that register themselves. */
  readonly entries: EntryWriter;
  authenticator(trustDomain: string): Authenticator;
  mesh(onChange: (settings: MeshSettings) => void): MeshSource;
  source(mesh: MeshConfig): KubernetesSource;
  /** Begins to race for the leader's work. */
  start(parts: LeaderParts): void;
  /** Gives up what it leads. */
  stop(): Promise<void>;
}

export interface LeaderParts {
  readonly config: ConfigSide;
  readonly authority: Authority;
  readonly streams: () => Promise<readonly StreamProgress[]>;
}

/** What only a cluster needs is loaded for those who have one. */
export async function openKube(options: ServerOptions, world: World): Promise<KubeSide | undefined> {
  if (options.kubeconfig === undefined && options.inCluster !== true) return undefined;
  const { kubeAccess } = await import('../sources/kube-access.ts');
  const { kubeApi } = await import('../sources/kube-api.ts');
  const { kubernetesSource } = await import('../sources/kubernetes.ts');
  const { kubeMesh } = await import('../sources/kube-mesh.ts');
  const { accessReviewer } = await import('../controllers/access-review.ts');
  const { kubeEntries } = await import('../controllers/entry-writer.ts');
  const { secretRootStore } = await import('../controllers/root-secret.ts');
  const { tokenReviewer } = await import('../controllers/token-review.ts');
  const { Leadership } = await import('../controllers/leadership.ts');
  const { clock, timers, metrics } = world;
  const { meter } = metrics;
  const { systemNamespace, revision, clusterId } = options;
  const log = world.log.child('kube');
  const api = kubeApi(await kubeAccess(options.kubeconfig));
  const ports = { api, clock, timers, random: Math.random, log: world.log.child('controllers'), meter };
  const replica = options.replica ?? `${hostname()}-${process.pid}`;
  const review = tokenReviewer({ api, clock, clusterId });
  let leadership: InstanceType<typeof Leadership> | undefined;
  return {
    rootStore: secretRootStore({ api, namespace: systemNamespace, timers, log }),
    secretAccess: accessReviewer(ports),
    entries: kubeEntries(api),
    authenticator: (trustDomain) => kubernetesAuthenticator({ trustDomain, audiences: [DEFAULT_AUDIENCE], review }),
    mesh: (onChange) =>
      kubeMesh({ api, log, timers, systemNamespace, revision, shared: options.sharedMeshConfig, onChange }),
    source: ({ discoverySelectors = [], rootNamespace }) =>
      kubernetesSource({
        ...{ api, clusterId, log, meter, timers },
        scope: { revision, systemNamespace, rootNamespace, selectors: discoverySelectors },
      }),
    start: ({ config, authority, streams }) => {
      leadership = new Leadership({
        ...{ ports, systemNamespace, revision, replica, streams, writeStatus: options.writeStatus ?? true },
        plane: config.plane,
        store: config.store,
        yieldLoop: () => nextTurn(),
        cluster: config.cluster,
        roots: {
          current: () => authority.rootBundle,
          onChange: (listener) => authority.onChange(({ rootsChanged }) => (rootsChanged ? listener() : undefined)),
        },
      });
      void config.ready().then(() => leadership?.start());
    },
    stop: async () => {
      await leadership?.stop();
    },
  };
}
