// Kubeconfigs by the Kubernetes client library, which knows every way to log in: plugins, cloud accounts, proxies.
// It is 800 files and 27 MB of memory: kube-access.ts loads it for those that need it.

import { KubeConfig } from '@kubernetes/client-node';

/** Throws where the file can't be read or names no cluster. Without a path: the cluster that the process runs in. */
export function loadKubeconfig(path: string | undefined): KubeConfig {
  const config = new KubeConfig();
  if (path === undefined) config.loadFromCluster();
  else config.loadFromFile(path);
  const server = config.getCurrentCluster()?.server ?? '';
  if (!URL.canParse(server)) throw new Error(`${path} names no cluster`);
  return config;
}
