// A server over a folder with proxies connected to it, and the commands that ask it.

import { credentials } from '@grpc/grpc-js';
import { encode } from '../../src/codec/index.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { AdsClient } from '../../src/xds/client.ts';
import type { Verdict } from '../../src/xds/client-state.ts';
import { type LocalControlPlane, startLocalControlPlane, TestFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { commandLine, type Outcome } from './support.ts';

export interface CommandMesh {
  readonly folder: TestFolder;
  readonly plane: LocalControlPlane;
  /** `--xds-address ADDRESS` */
  readonly address: readonly [string, string];
  /** A proxy that takes (or, by verdict, refuses) clusters, listeners, and what they name. */
  connect(node: object, verdict?: Verdict): Promise<AdsClient>;
  meltemi(...args: string[]): Promise<Outcome>;
  stop(): Promise<void>;
}

export function sidecarNode(
  name: string,
  namespace: string,
  ip: string,
  labels: Readonly<Record<string, string>>,
): object {
  return {
    id: `sidecar~${ip}~${name}.${namespace}~${namespace}.svc.cluster.local`,
    metadata: { NAMESPACE: namespace, CLUSTER_ID: 'Kubernetes', INSTANCE_IPS: ip, LABELS: labels },
  };
}

export async function commandMesh(
  objects: readonly object[],
  mesh: Readonly<Record<string, unknown>> = {},
): Promise<CommandMesh> {
  const folder = new TestFolder(mesh);
  folder.write('mesh', objects);
  const plane = await startLocalControlPlane(folder);
  const { grpc } = plane.server.addresses;
  const address = `127.0.0.1:${grpc?.port}`;
  const clients: AdsClient[] = [];
  const connect = async (node: object, verdict?: Verdict): Promise<AdsClient> => {
    const client = new AdsClient({
      address,
      credentials: credentials.createInsecure(),
      mode: 'delta',
      node: Buffer.from(encode('envoy.config.core.v3.Node', node)),
      verdict,
    });
    clients.push(client);
    client.subscribe(TYPE_URL.cluster);
    client.subscribe(TYPE_URL.listener);
    await until(async () => client.held(TYPE_URL.listener).size > 0, 'the listeners of a proxy');
    return client;
  };
  return {
    folder,
    plane,
    address: ['--xds-address', address],
    connect,
    meltemi: (...args) => commandLine(...args, '--xds-address', address),
    stop: async () => {
      for (const client of clients) client.close();
      await plane.stop();
      folder.delete();
    },
  };
}

export const istio = (kind: string, name: string, spec: object, namespace = 'shop', group = 'networking'): object => ({
  apiVersion: `${group}.istio.io/v1`,
  kind,
  metadata: { name, namespace, generation: 3 },
  spec,
});

export const kubeService = (name: string, clusterIP: string, namespace = 'shop'): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec: { clusterIP, selector: { app: name }, ports: [{ name: 'http', port: 80 }] },
});

export const slice = (service: string, address: string, namespace = 'shop'): object => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: `${service}-x`, namespace, labels: { 'kubernetes.io/service-name': service } },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080 }],
  endpoints: [{ addresses: [address] }],
});
