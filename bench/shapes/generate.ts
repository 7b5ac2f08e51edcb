// One proxy's configuration generated from a mesh, type by type, with the clock beside it. No plane, no streams.
// In: a shape. Out: milliseconds, bytes and resources of each type, from nothing and after one change.
// Every run begins with objects of its own, so nothing that was memoised for an earlier one can answer.

import type { ConfigObject, Kind } from '../../src/config/object.ts';
import { parseMeshConfig, parseMeshNetworks } from '../../src/config/mesh.ts';
import type { Draft } from '../../src/ir/draft.ts';
import type { Proxy } from '../../src/ir/proxy.ts';
import { finish } from '../../src/lib/steps.ts';
import { type Table, tableGet, tableValues } from '../../src/lib/table.ts';
import { linkage, type LinkInputs, type ProxyLink } from '../../src/plane/linkage.ts';
import { readableSecrets } from '../../src/plane/secrets.ts';
import { type Resource, sendable } from '../../src/resources/resource.ts';
import type { LinkedScope, LinkedSnapshot } from '../../src/snapshot/index.ts';
import { createStore } from '../../src/store/store.ts';
import { type EndpointAssignments, endpointAssignments } from '../../src/translate/endpoints/index.ts';
import { inboundClusters, type OutboundClusters, outboundClusters } from '../../src/translate/clusters/index.ts';
import { gatewayListeners } from '../../src/translate/gateway/listeners.ts';
import { gatewayRoutes } from '../../src/translate/gateway/routes.ts';
import {
  inboundListeners,
  type OutboundListeners,
  outboundListeners,
  workloadListeners,
} from '../../src/translate/listeners/index.ts';
import { type WorkloadGround, workloadGround } from '../../src/translate/ground.ts';
import { nameTable } from '../../src/translate/nametable/index.ts';
import { type OutboundRoutes, outboundRoutesSteps } from '../../src/translate/routes/index.ts';
import { silentLog, Metrics } from '../../test/xds/support.ts';
import { objectsOf } from '../../test/plane/lab.ts';
import { PROXY_LABELS } from './parts.ts';
import type { GeneratedType, ShapeCase } from './shapes.ts';

export interface Generated {
  readonly ms: number;
  readonly bytes: number;
  readonly resources: number;
}

export interface Generation {
  /** Registry and snapshot, ms. */
  readonly link: number;
  /** The proxy's class, workload and scope, ms. */
  readonly scope: number;
  readonly types: Readonly<Partial<Record<GeneratedType, Generated>>>;
}

const MESH = {
  extensionProviders: [{ name: 'envoy-json', envoyFileAccessLog: { path: '/dev/stdout', logFormat: { labels: {} } } }],
};

/** One mesh in memory and one proxy of it. */
export class Generator {
  readonly #shape: ShapeCase;
  readonly #store = createStore({ validators: () => [], log: silentLog, meter: new Metrics() });
  /** Names that the proxy asks for. */
  readonly #credentials: ReadonlySet<string>;
  readonly #sink = this.#store.sink('bench');
  readonly #linkage = linkage();
  readonly #session = {};
  readonly #proxy: Proxy;
  readonly #mesh = parseMeshConfig(structuredClone(MESH)).mesh;
  #snapshot: LinkedSnapshot | undefined;
  /** The scope of the run before: the linkage starts from it as long as somebody has it. */
  held: LinkedScope | undefined;
  #clusters: OutboundClusters | undefined;
  #endpoints: EndpointAssignments | undefined;
  #listeners: OutboundListeners | undefined;
  #ground: WorkloadGround | undefined;
  #routes: OutboundRoutes | undefined;
  #gatewayListeners: readonly Draft[] | undefined;
  #gatewayRoutes: readonly Draft[] | undefined;
  #names: Draft | undefined;
  /** Resources of the run before: what is the same object again was not generated. */
  #before = new Set<Draft | Resource>();

  constructor(shape: ShapeCase) {
    this.#shape = shape;
    this.#credentials = credentialNames(shape);
    const parsed = this.#linkage.parse(nodeOf(shape));
    if ('error' in parsed) throw new Error(parsed.error);
    this.#proxy = parsed;
    this.put(objectsOf(shape.mesh()));
  }

  /** Brings objects in; the clock does not run. */
  put(objects: readonly ConfigObject[]): void {
    this.#sink.apply(objects.map((object) => ({ kind: 'upsert', object })));
  }

  /** Everything that the proxy would be given. */
  generate(): Generation {
    const [snapshot, linked] = timed(() => this.#linkage.build(this.#inputs(), this.#snapshot));
    const [{ link, scope }, scoped] = timed(() => {
      const own = this.#linkage.link(this.#session, this.#proxy, snapshot);
      return { link: own, scope: this.#linkage.scopeOf(snapshot, own.proxyClass) };
    });
    this.#snapshot = snapshot;
    this.held = scope;
    const made = new Set<Draft | Resource>();
    const types: Partial<Record<GeneratedType, Generated>> = {};
    for (const type of this.#shape.types) {
      const [list, ms] = timed(() => this.#generated(type, scope, link, snapshot));
      const all = list();
      const fresh = all.filter((each) => !this.#before.has(each));
      const [, joining] = timed(() => fresh.forEach(written));
      const bytes = fresh.reduce((sum, each) => sum + sizeOf(each), 0);
      types[type] = { ms: ms + joining, bytes, resources: fresh.length };
      for (const each of all) made.add(each);
    }
    this.#before = made;
    return { link: linked, scope: scoped, types };
  }

  #inputs(): LinkInputs {
    const { byKind } = this.#store.state();
    return {
      tables: { table: (kind: Kind): Table<ConfigObject> => byKind[kind] },
      mesh: this.#mesh,
      meshNetworks: parseMeshNetworks({}).networks,
      domain: 'cluster.local',
      clusterId: 'Kubernetes',
      systemNamespace: 'istio-system',
      mode: 'files',
    };
  }

  /** Generates; what it gives lists the results, which is the benchmark's own need and no part of the work. */
  #generated(
    type: GeneratedType,
    scope: LinkedScope,
    { workload }: ProxyLink,
    snapshot: LinkedSnapshot,
  ): () => readonly (Draft | Resource)[] {
    switch (type) {
      case 'cluster': {
        const { table } = (this.#clusters = finish(outboundClusters(scope, this.#clusters)));
        const inbound = inboundClusters(scope, workload, rulesOf(scope, workload));
        return () => [...tableValues(table)].flat().concat(inbound);
      }
      case 'endpoint': {
        const { table } = (this.#endpoints = finish(endpointAssignments(scope, this.#endpoints)));
        return () => [...tableValues(table)].flat();
      }
      case 'listener': {
        if (this.#shape.proxy === 'router') {
          const drafts = (this.#gatewayListeners = gatewayListeners(scope, this.#gatewayListeners));
          return () => drafts;
        }
        const outbound = (this.#listeners = outboundListeners(scope, this.#listeners));
        this.#ground = workloadGround(scope, outbound.named, this.#ground);
        const own = [workloadListeners(this.#ground, workload), inboundListeners(this.#ground, workload)];
        return () => [outbound.drafts, ...own].flat();
      }
      case 'route': {
        if (this.#shape.proxy === 'router') {
          const drafts = (this.#gatewayRoutes = gatewayRoutes(scope, this.#gatewayRoutes));
          return () => drafts;
        }
        const { drafts } = (this.#routes = finish(outboundRoutesSteps(scope, this.#routes)));
        return () => drafts;
      }
      case 'name table': {
        const table = (this.#names = nameTable(scope, this.#names));
        return () => [table];
      }
      case 'secret': {
        const secrets = readableSecrets(snapshot, this.#proxy, PEER, this.#credentials, () => true);
        return () => secrets;
      }
    }
  }
}

/** Time of the work, ms. */
function timed<T>(work: () => T): readonly [T, ms: number] {
  const started = performance.now();
  const result = work();
  return [result, performance.now() - started];
}

function rulesOf({ services }: LinkedScope, { targets }: ProxyLink['workload']): Parameters<typeof inboundClusters>[2] {
  return targets.map(({ service }) => tableGet(services, service.hostname)?.rule);
}

const PEER = { address: 'bench', plaintext: false, identities: ['spiffe://cluster.local/ns/default/sa/default'] };

function credentialNames({ secrets = 0 }: ShapeCase): ReadonlySet<string> {
  return new Set(Array.from({ length: secrets }, (_, index) => `kubernetes://default/sds-credential-${index}`));
}

function nodeOf({ proxy }: ShapeCase): Parameters<ReturnType<typeof linkage>['parse']>[0] {
  return {
    id: `${proxy}~1.1.1.1~v0.default~default.svc.cluster.local`,
    cluster: 'bench',
    userAgentName: 'envoy',
    metadata: {
      NAMESPACE: 'default',
      CLUSTER_ID: 'Kubernetes',
      ISTIO_VERSION: '1.26.0',
      INTERCEPTION_MODE: proxy === 'sidecar' ? 'REDIRECT' : 'NONE',
      SERVICE_ACCOUNT: 'default',
      INSTANCE_IPS: '1.1.1.1',
      LABELS: PROXY_LABELS,
    },
  };
}

/** As istiod's benchmarks end with bytes: those of what is in pieces are put together as far as they are for streams. */
function written({ pieces }: Draft | Resource): void {
  if (pieces !== undefined) sendable(pieces);
}

/** Without putting it together: that is rubbish to be collected while the clock runs. */
function sizeOf(each: Draft | Resource): number {
  return each.pieces === undefined ? each.bytes.length : each.pieces.reduce((sum, { length }) => sum + length, 0);
}
