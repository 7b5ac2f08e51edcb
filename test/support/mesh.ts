// A whole mesh on this machine: a control plane, applications, and an agent with a real Envoy for each workload.
// Every proxy listens on loopback addresses of its own: `127.A.B.N` is the pod, `127.A.B.(100+N)` its way out, which an
// application (or a test) calls with the Host that it means.

import type { Agent } from 'node:http';
import {
  type AppAnswer,
  type CallAnswer,
  call,
  type SeenRequest,
  startHttpApp,
  startTcpApp,
  type TestApp,
  talk,
} from './apps.ts';
import type { ServerOptions } from '../../src/server.ts';
import { startAgentless, startProxy, type TestProxy } from './envoy.ts';
import {
  type EgressSpec,
  type Labels,
  meshObjects,
  type PlacedWorkload,
  type PortSpec,
  podLabels,
} from './mesh-objects.ts';
import { type ControlPlane, type LocalControlPlane, startLocalControlPlane, TestFolder } from './server.ts';
import { holdSubnet } from './wait.ts';

export interface InboundPort extends PortSpec {
  /** Answers that are not the echo. */
  readonly handler?: ((request: SeenRequest) => AppAnswer | undefined) | undefined;
  /** The application listens at this Unix socket. */
  readonly socket?: string | undefined;
}

export interface WorkloadSpec {
  readonly name: string;
  readonly namespace?: string | undefined;
  /** Defaults to the service, else the name. */
  readonly account?: string | undefined;
  readonly service?: string | undefined;
  readonly labels?: Labels | undefined;
  readonly role?: 'sidecar' | 'router' | undefined;
  /** False: an application alone, outside of the mesh's protection. */
  readonly proxied?: boolean | undefined;
  /** True: an Envoy alone, without an agent. */
  readonly agentless?: boolean | undefined;
  readonly ports?: readonly InboundPort[] | undefined;
  readonly egress?: readonly EgressSpec[] | undefined;
  /** Hosts of services for which it has listeners at their own ports too, of `127.0.0.1`. */
  readonly everyPort?: readonly string[] | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly proxyConfig?: Readonly<Record<string, unknown>> | undefined;
}

export interface MeshOptions {
  /** Binary of the Envoys. */
  readonly envoy: string;
  readonly workloads: readonly WorkloadSpec[];
  /** MeshConfig. */
  readonly mesh?: Readonly<Record<string, unknown>> | undefined;
  /** MeshNetworks. */
  readonly networks?: Readonly<Record<string, unknown>> | undefined;
  /** Further objects from the start, given the addresses. */
  readonly objects?: ((at: Addresses) => string | readonly object[]) | undefined;
  /** A control plane of another kind than the one in this process. */
  readonly controlPlane?: ((folder: TestFolder) => Promise<ControlPlane>) | undefined;
  /** Options of the control plane in this process. */
  readonly server?: Partial<ServerOptions> | undefined;
}

export interface Addresses {
  pod(workload: string): string;
  out(workload: string): string;
  /** Any other address of the mesh's network; hosts 200 to 250 are free. */
  other(host: number): string;
}

export interface HttpCall {
  readonly host: string;
  readonly port?: number | undefined;
  readonly path?: string | undefined;
  readonly method?: string | undefined;
  readonly headers?: Labels | undefined;
  readonly body?: string | undefined;
  readonly agent?: Agent | undefined;
  readonly timeoutMs?: number | undefined;
}

export interface Mesh<Plane extends ControlPlane = ControlPlane> {
  readonly plane: Plane;
  readonly at: Addresses;
  proxy(workload: string): TestProxy;
  readonly proxies: readonly TestProxy[];
  /** The application behind a port of a workload, its first unless named. */
  app(workload: string, port?: string): TestApp;
  /** HTTP from a workload's application, through its sidecar. */
  call(from: string, what: HttpCall): Promise<CallAnswer>;
  /** Bytes from a workload's application, through its sidecar. */
  talk(from: string, port: number, text: string): Promise<string | undefined>;
  /** Writes a file of objects and resolves when every proxy has taken what follows from it. */
  apply(name: string, objects: string | readonly object[]): Promise<void>;
  /** Nothing refused, nothing warned about: throws with all there is to say otherwise. */
  verify(): Promise<void>;
  stop(): Promise<void>;
  /** Verifies, and stops whatever comes of it. */
  finish(): Promise<void>;
}

const NAMESPACE = 'shop';

/** Starts a mesh with the control plane in this process; stops what was started if a part fails. */
export async function startMesh(options: MeshOptions): Promise<Mesh<LocalControlPlane>> {
  return build(
    options,
    (folder) => startLocalControlPlane(folder, '127.0.0.1', options.server),
    async (plane, marker) => plane.settled(marker),
  );
}

/** Starts a mesh around another control plane; `apply` then writes and doesn't wait. */
export async function startMeshAround<Plane extends ControlPlane>(
  options: MeshOptions,
  controlPlane: (folder: TestFolder) => Promise<Plane>,
): Promise<Mesh<Plane>> {
  return build(options, controlPlane, async () => undefined);
}

async function build<Plane extends ControlPlane>(
  options: MeshOptions,
  startPlane: (folder: TestFolder) => Promise<Plane>,
  settled: (plane: Plane, marker: string) => Promise<void>,
): Promise<Mesh<Plane>> {
  const closers: (() => Promise<void> | void)[] = [];
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const subnet = await holdSubnet();
    closers.push(() => subnet.release());
    const folder = new TestFolder(options.mesh);
    closers.push(() => folder.delete());
    if (options.networks !== undefined) folder.writeNetworks(options.networks);
    const apps = new Map<string, TestApp>();
    const placed = await place(options.workloads, subnet.prefix, apps, closers);
    const at = addressesOf(placed, subnet.prefix);
    folder.write('workloads', meshObjects(placed));
    if (options.objects !== undefined) folder.write('objects', options.objects(at));
    const plane = await startPlane(folder);
    closers.push(() => plane.stop());
    const proxies = await startProxies(options, placed, plane, closers);
    const mesh = meshOf({ plane, at, proxies, apps, stop });
    return { ...mesh, apply: async (name, objects) => settled(plane, folder.write(name, objects)) };
  } catch (error) {
    await stop();
    throw error;
  }
}

function addressesOf(placed: readonly PlacedWorkload[], prefix: string): Addresses {
  const find = (name: string): PlacedWorkload => {
    const found = placed.find((workload) => workload.name === name);
    if (found === undefined) throw new Error(`no workload ${name}`);
    return found;
  };
  return { pod: (name) => find(name).pod, out: (name) => find(name).out, other: (host) => `${prefix}.${host}` };
}

/** Gives each workload its addresses and starts its applications. */
async function place(
  workloads: readonly WorkloadSpec[],
  prefix: string,
  apps: Map<string, TestApp>,
  closers: (() => Promise<void> | void)[],
): Promise<readonly PlacedWorkload[]> {
  const placed: PlacedWorkload[] = [];
  for (const [index, spec] of workloads.entries()) {
    const n = index + 1;
    const proxied = spec.proxied !== false;
    const pod = `${prefix}.${n}`;
    const ports: (PortSpec & { readonly endpoint: string })[] = [];
    for (const port of spec.ports ?? []) {
      const where = proxied ? { address: '127.0.0.1', port: 0 } : { address: pod, port: port.number };
      const app = isHttp(port)
        ? await startHttpApp({ name: spec.name, handler: port.handler, socket: port.socket, ...where })
        : await startTcpApp(spec.name, where.address, where.port);
      closers.push(() => app.stop());
      apps.set(`${spec.name}/${port.name}`, app);
      if (!apps.has(spec.name)) apps.set(spec.name, app);
      const endpoint = port.socket === undefined ? `127.0.0.1:${app.port}` : `unix://${port.socket}`;
      ports.push({ name: port.name, number: port.number, protocol: port.protocol, endpoint });
    }
    placed.push({
      name: spec.name,
      namespace: spec.namespace ?? NAMESPACE,
      account: spec.account ?? spec.service ?? spec.name,
      service: spec.service,
      labels: spec.labels ?? {},
      sidecar: proxied && spec.role !== 'router',
      pod,
      out: `${prefix}.${100 + n}`,
      ports,
      egress: spec.egress ?? [{ name: 'http', number: 8080 }],
      everyPort: spec.everyPort,
    });
  }
  return placed;
}

function isHttp({ protocol = 'HTTP' }: PortSpec): boolean {
  return protocol === 'HTTP';
}

async function startProxies(
  { envoy, workloads }: MeshOptions,
  placed: readonly PlacedWorkload[],
  plane: ControlPlane,
  closers: (() => Promise<void> | void)[],
): Promise<readonly TestProxy[]> {
  const starts = placed.map(async (workload, index): Promise<TestProxy | undefined> => {
    const spec = workloads[index];
    if (spec === undefined || spec.proxied === false) return undefined;
    const { name, namespace, account, pod: ip } = workload;
    const proxy = await (spec.agentless === true ? startAgentless : startProxy)(plane, {
      name,
      namespace,
      account,
      ip,
      envoy,
      labels: podLabels(workload),
      role: spec.role ?? 'sidecar',
      env: { ISTIO_META_INTERCEPTION_MODE: 'NONE', ...spec.env },
      proxyConfig: spec.proxyConfig,
    });
    closers.push(() => proxy.stop());
    return proxy;
  });
  // All are awaited, also when one fails: whatever started has to be stopped.
  const results = await Promise.allSettled(starts);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return results.flatMap((result) =>
    result.status === 'fulfilled' && result.value !== undefined ? [result.value] : [],
  );
}

interface Parts<Plane extends ControlPlane> {
  readonly plane: Plane;
  readonly at: Addresses;
  readonly proxies: readonly TestProxy[];
  readonly apps: ReadonlyMap<string, TestApp>;
  readonly stop: () => Promise<void>;
}

function meshOf<Plane extends ControlPlane>({
  plane,
  at,
  proxies,
  apps,
  stop,
}: Parts<Plane>): Omit<Mesh<Plane>, 'apply'> {
  const found = <T>(value: T | undefined, what: string): T => {
    if (value === undefined) throw new Error(`the mesh has no ${what}`);
    return value;
  };
  return {
    plane,
    at,
    proxies,
    proxy: (workload) =>
      found(
        proxies.find(({ name }) => name === workload),
        `proxy ${workload}`,
      ),
    app: (workload, port) => found(apps.get(port === undefined ? workload : `${workload}/${port}`), `app ${workload}`),
    call: (from, { host, port = 8080, headers = {}, ...rest }) =>
      call({ address: at.out(from), port, headers: { host, ...headers }, ...rest }),
    talk: (from, port, text) => talk(at.out(from), port, text),
    verify: () => verify(plane, proxies),
    stop,
    finish: async () => {
      try {
        await verify(plane, proxies);
      } finally {
        await stop();
      }
    },
  };
}

/** Throws with every rejection and every warning of any proxy, and with the control plane's count of rejections. */
export async function verify(plane: ControlPlane, proxies: readonly TestProxy[]): Promise<void> {
  const problems: string[] = [];
  for (const proxy of proxies) {
    for (const [name, count] of await proxy.rejections()) problems.push(`${proxy.name}: ${name} ${count}`);
    problems.push(...proxy.complaints().map((line) => `${proxy.name}: ${line}`));
  }
  const rejects = await plane.metric('pilot_total_xds_rejects');
  if (rejects > 0) problems.push(`the control plane counted ${rejects} rejections`);
  if (problems.length > 0) throw new Error(problems.join('\n'));
}
