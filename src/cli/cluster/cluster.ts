// The cluster that a command works on: which one, and the few requests that commands make of it.
// In: --kubeconfig, --context and KUBECONFIG as kubectl takes them. Out: JSON objects. Called by `tag` and `check`.

import { KubeConfig } from '@kubernetes/client-node';
import { type KubeApi, kubeApi, KubeError, type KubeWrite, type Query } from '../../sources/kube-api.ts';
import { UsageError } from '../program.ts';

export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  /** Namespace of the control plane. */
  readonly istioNamespace: string;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly resourceVersion?: string;
}

export interface Cluster {
  /** Where it is, for messages. */
  readonly server: string;
  /** Undefined where there is none. */
  get<T>(path: string): Promise<T | undefined>;
  /** All pages. Empty where there is no such kind. */
  list<T>(path: string, query?: Query): Promise<readonly T[]>;
  send(write: KubeWrite): Promise<unknown>;
}

const PAGE = 500;

/** Opens the cluster and works on it. Throws a UsageError where there is none, or where it refuses something. */
export async function withCluster<T>(flags: ClusterFlags, work: (cluster: Cluster) => Promise<T>): Promise<T> {
  const cluster = openCluster(flags);
  try {
    return await work(cluster);
  } catch (error) {
    if (error instanceof KubeError) throw new UsageError(`${cluster.server}: ${error.message}`);
    throw error;
  }
}

function openCluster(flags: ClusterFlags): Cluster {
  const config = new KubeConfig();
  try {
    if (flags.kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(flags.kubeconfig);
    if (flags.context !== undefined) config.setCurrentContext(flags.context);
  } catch (error) {
    throw new UsageError(`kubeconfig: ${error instanceof Error ? error.message : String(error)}`);
  }
  const server = config.getCurrentCluster()?.server;
  if (server === undefined)
    throw new UsageError(
      `the kubeconfig names no cluster${flags.context === undefined ? '' : ` by context ${flags.context}`}`,
    );
  return clusterOf(server, kubeApi(config));
}

/** Over any API server; tests have one in memory. */
export function clusterOf(server: string, api: KubeApi): Cluster {
  return {
    server,
    get: <T>(path: string) => orAbsent(api.get(path, {}, never())) as Promise<T | undefined>,
    list: async <T>(path: string, query: Query = {}) => {
      const items: T[] = [];
      let token: string | undefined;
      do {
        const page = (await orAbsent(api.get(path, { ...query, limit: PAGE, continue: token }, never()))) as
          | { readonly items?: readonly T[]; readonly metadata?: { readonly continue?: string } }
          | undefined;
        items.push(...(page?.items ?? []));
        token = page?.metadata?.continue === '' ? undefined : page?.metadata?.continue;
      } while (token !== undefined);
      return items;
    },
    send: (write) => api.send(write, never()),
  };
}

async function orAbsent(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof KubeError && error.status === 404) return undefined;
    throw error;
  }
}

/** Commands are ended by ending the process. */
function never(): AbortSignal {
  return new AbortController().signal;
}
