// A real API server for tests: objects put and taken away, tokens, and servers of ours that serve it.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { connect, createServer, isIP, type Server as TcpServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials as grpcCredentials } from '@grpc/grpc-js';
import { encode } from '../../src/codec/index.ts';
import { type Server, type ServerOptions, startServer } from '../../src/server.ts';
import { kubeApi, type KubeApi, KubeError } from '../../src/sources/kube-api.ts';
import { loadKubeconfig } from '../../src/sources/kube-library.ts';
import { AdsClient, type AdsClientOptions } from '../../src/xds/client.ts';
import { eventually } from '../support/wait.ts';

export const kubeconfig = process.env['KUBECONFIG'];

export type Raw = Readonly<Record<string, unknown>> & {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Readonly<Record<string, unknown>> & { readonly name: string; readonly namespace?: string };
};

const signal = (): AbortSignal => AbortSignal.timeout(15_000);

/** Namespaces of one test file, and what is done in the cluster. Everything that was put is taken away at the end. */
export class Cluster {
  readonly api: KubeApi = kubeApi(loadKubeconfig(kubeconfig));
  readonly suffix = randomBytes(3).toString('hex');
  readonly #made: string[] = [];

  name(base: string): string {
    return `${base}-${this.suffix}`;
  }

  async namespace(base: string, labels: Readonly<Record<string, string>> = {}): Promise<string> {
    const name = this.name(base);
    await this.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
    return name;
  }

  /** Creates or replaces by server-side apply. */
  async put(raw: Raw): Promise<unknown> {
    const path = pathOf(raw);
    const query = { fieldManager: 'test', force: true };
    const put = await eventually(
      () => this.api.send({ method: 'PATCH', patch: 'apply-patch', path, query, body: raw }, signal()),
      `${raw.kind} ${raw.metadata.name}`,
    );
    if (!this.#made.includes(path)) this.#made.push(path);
    return put;
  }

  async read(raw: Pick<Raw, 'apiVersion' | 'kind' | 'metadata'>): Promise<Record<string, unknown> | undefined> {
    try {
      return (await this.api.get(pathOf(raw), {}, signal())) as Record<string, unknown>;
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return undefined;
      throw error;
    }
  }

  async remove(raw: Pick<Raw, 'apiVersion' | 'kind' | 'metadata'>): Promise<void> {
    await this.api.send({ method: 'DELETE', path: pathOf(raw) }, signal()).catch(() => undefined);
  }

  /** A token of a service account, as a projected volume has it. */
  async token(namespace: string, account: string, audience = 'istio-ca', pod?: string): Promise<string> {
    const uid = pod === undefined ? undefined : await this.#uidOf(namespace, pod);
    const bound = pod === undefined ? {} : { boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: pod, uid } };
    const spec = { audiences: [audience], expirationSeconds: 600, ...bound };
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
    const answer = (await eventually(() => this.api.send({ method: 'POST', path, body }, signal()), 'a token')) as {
      readonly status: { readonly token: string };
    };
    return answer.status.token;
  }

  async #uidOf(namespace: string, name: string): Promise<unknown> {
    const pod = await this.read({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace } });
    return (pod?.['metadata'] as { readonly uid?: string } | undefined)?.uid;
  }

  /** Definitions of Istio's kinds that take anything: enough to hold objects and their statuses. */
  async define(group: string, kind: string, plural: string): Promise<void> {
    const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
    const version = { name: 'v1', served: true, storage: true, subresources: { status: {} }, schema };
    const names = { plural, singular: kind.toLowerCase(), kind, listKind: `${kind}List` };
    await this.put({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `${plural}.${group}` },
      spec: { group, scope: 'Namespaced', names, versions: [version] },
    });
    await eventually(() => this.api.get(`/apis/${group}/v1/${plural}`, {}, signal()), `${plural} to be served`);
  }

  async clean(): Promise<void> {
    for (const path of this.#made.reverse())
      await this.api.send({ method: 'DELETE', path }, signal()).catch(() => undefined);
  }
}

const PLURALS: Readonly<Record<string, string>> = {
  ServiceEntry: 'serviceentries',
  EndpointSlice: 'endpointslices',
  NetworkPolicy: 'networkpolicies',
};
const CLUSTER_SCOPED =
  /^(Namespace|Node|CustomResourceDefinition|ClusterRole|ClusterRoleBinding|.*WebhookConfiguration)$/;

export function pathOf({ apiVersion, kind, metadata }: Pick<Raw, 'apiVersion' | 'kind' | 'metadata'>): string {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const plural = PLURALS[kind] ?? `${kind.toLowerCase()}s`;
  const where = CLUSTER_SCOPED.test(kind) ? '' : `/namespaces/${metadata.namespace}`;
  return `${root}${where}/${plural}/${metadata.name}`;
}

/** A server in this process that serves the cluster. */
export async function serve(systemNamespace: string, more: Partial<ServerOptions> = {}): Promise<Server> {
  const host = '127.0.0.1';
  const server = await startServer({
    version: '0.0.0-test',
    kubeconfig,
    meshConfig: '/nowhere/mesh',
    networksConfig: '/nowhere/networks',
    domain: 'cluster.local',
    clusterId: 'Kubernetes',
    systemNamespace,
    revision: '',
    secureGrpc: { host, port: 0 },
    grpc: { host, port: 0 },
    http: { host, port: 0 },
    caDir: '/nowhere/ca',
    hosts: [],
    logLevels: process.env['TEST_LOG'] ?? 'none',
    logJson: false,
    debounceQuiet: 10,
    debounceMax: 200,
    maxStreamRate: 1000,
    ...more,
  });
  await server.ready();
  return server;
}

export interface NodeFacts {
  readonly namespace: string;
  readonly account?: string;
  readonly name?: string;
  readonly type?: 'sidecar' | 'router';
  readonly ip?: string;
}

export function nodeBytes({
  namespace,
  account,
  name = 'app-0',
  type = 'sidecar',
  ip = '10.9.9.9',
}: NodeFacts): Buffer {
  const metadata = {
    ...{ NAMESPACE: namespace, CLUSTER_ID: 'Kubernetes', INSTANCE_IPS: ip },
    ...(account === undefined ? {} : { SERVICE_ACCOUNT: account }),
  };
  const id = `${type}~${ip}~${name}.${namespace}~${namespace}.svc.cluster.local`;
  return Buffer.from(encode('envoy.config.core.v3.Node', { id, cluster: name, metadata }));
}

/** A proxy that proves who it is by a token, over TLS. */
export function proxyWith(
  server: Server,
  roots: string,
  token: string,
  node: NodeFacts,
  more: Partial<AdsClientOptions> = {},
): AdsClient {
  return new AdsClient({
    address: `127.0.0.1:${server.addresses.secureGrpc?.port}`,
    credentials: grpcCredentials.createSsl(Buffer.from(roots)),
    mode: 'delta',
    node: nodeBytes(node),
    headers: { authorization: `Bearer ${token}`, clusterid: 'Kubernetes' },
    channel: { 'grpc.ssl_target_name_override': 'localhost' },
    ...more,
  });
}

/** In front of the API server, and can be cut: connections end, new ones are refused. */
export class CuttableProxy {
  readonly kubeconfig: string;
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #server: TcpServer | undefined;
  #port = 0;

  static async start(): Promise<CuttableProxy> {
    const proxy = new CuttableProxy();
    await proxy.mend();
    proxy.#write();
    return proxy;
  }

  private constructor() {
    const config = loadKubeconfig(kubeconfig);
    this.#target = new URL(config.getCurrentCluster()?.server ?? '');
    this.kubeconfig = join(mkdtempSync(join(tmpdir(), 'meltemi-kube-')), 'kubeconfig');
  }

  #write(): void {
    const config = loadKubeconfig(kubeconfig);
    const name = isIP(this.#target.hostname) === 0 ? { 'tls-server-name': this.#target.hostname } : {};
    const clusters = config.clusters.map((each) => ({
      name: each.name,
      cluster: {
        server: `https://127.0.0.1:${this.#port}`,
        ...name,
        ...(each.caData === undefined
          ? { 'certificate-authority': each.caFile }
          : { 'certificate-authority-data': each.caData }),
      },
    }));
    const text = JSON.stringify({ ...(JSON.parse(config.exportConfig()) as object), clusters });
    writeFileSync(this.kubeconfig, text);
  }

  /** All connections end without a word, and nobody listens. */
  async cut(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server?.close(resolve) ?? resolve(undefined));
    this.#server = undefined;
  }

  async mend(): Promise<void> {
    const server = createServer((client) => {
      const upstream = connect(Number(this.#target.port || 443), this.#target.hostname);
      for (const [one, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.#sockets.add(one);
        one.on('error', () => other.destroy());
        one.on('close', () => {
          this.#sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as { readonly port: number }).port;
    this.#server = server;
  }
}
