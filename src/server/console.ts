// The running server as the debug pages see it.

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Finding } from '../config/object.ts';
import type { ConnectionInfo, ConsolePort } from '../console/port.ts';
import type { ObjectRef } from '../config/object.ts';
import { tableGet, tableValues } from '../lib/table.ts';
import { type Applied, appliedState } from '../plane/applied.ts';
import { type ObjectTables, proxyOrigins, resourceOrigins } from '../plane/explain.ts';
import type { PlaneSession } from '../plane/proxy-session.ts';
import { objectIn, tableKey } from '../store/state.ts';
import type { ServerOptions, World } from '../server.ts';
import { analyzed } from './analysis.ts';
import type { ConfigSide } from './config.ts';
import { type PreviewParts, previewOf } from './preview.ts';

/** Longest time for which a preview holds the event loop, ms. */
const PREVIEW_SLICE = 5;

/** Kinds whose objects hold secrets: the pages say that they exist and nothing more. */
const HIDDEN = new Set(['Secret']);

/** Before its listeners are open, and once it is being stopped, nobody should be sent to the server. */
export type Phase = 'starting' | 'serving' | 'leaving';

const UNREADY: Readonly<Record<Phase, readonly string[]>> = {
  starting: ['listeners are still being opened'],
  serving: [],
  leaving: ['shutting down'],
};

/** What the pages show beside the configuration. */
interface Beside {
  readonly phase: () => Phase;
  /** Its findings are carried by no object of the store. */
  readonly injection: { readonly findings: () => readonly Finding[]; readonly describe: () => object };
}

export function consolePort(options: ServerOptions, world: World, config: ConfigSide, beside: Beside): ConsolePort {
  const preview: PreviewParts = {
    plane: config.plane,
    validate: config.validatorOf(true),
    slicing: { clock: world.clock, yieldLoop: () => nextTurn(), slice: PREVIEW_SLICE },
    // Files say when an object was made, or nothing; the API server says now.
    created: () => (config.cluster === undefined ? 0 : world.clock.now()),
  };
  return {
    version: options.version,
    unready: () => (beside.phase() === 'leaving' ? UNREADY.leaving : [...UNREADY[beside.phase()], ...config.unready()]),
    connections: () => [...config.plane.sessions].map((session) => connectionInfo(session, config)),
    snapshot: () => config.plane.snapshot,
    findings: () => [...config.findings(), ...beside.injection.findings()],
    analysis: () => analyzed(config.plane.snapshot, config.store.state(), config.findings()),
    applied: (ref) => applied(ref, config),
    objects: () => objects(config),
    preview: (request) => previewOf(preview, request),
    injection: () => beside.injection.describe(),
    scopes: () => world.root.scopes(),
    setLevel: (scope, level) => world.root.setLevel(scope, level),
    metrics: () => world.metrics.render(),
    metricsType: world.metrics.contentType,
  };
}

function applied(ref: ObjectRef, { plane, store }: ConfigSide): Applied | undefined {
  const object = objectIn(store.state(), ref);
  const { snapshot, sessions, servedTables } = plane;
  if (object === undefined || snapshot === undefined) return undefined;
  const linked = servedTables !== undefined && tableGet(servedTables.table(ref.kind), tableKey(ref)) === object;
  const tables: ObjectTables = (kind) => store.state().byKind[kind];
  return appliedState({ object, sessions, snapshot, tables, linked });
}

function* objects({ store }: ConfigSide): Generator<object> {
  for (const table of Object.values(store.state().byKind)) {
    for (const object of tableValues(table))
      yield HIDDEN.has(object.kind) ? { ...object, spec: { redacted: true } } : object;
  }
}

function connectionInfo(session: PlaneSession, { plane, store }: ConfigSide): ConnectionInfo {
  const { proxy, peer } = session;
  const versions = [proxy.metadata['ISTIO_VERSION'], proxy.metadata['MELTEMI_VERSION'], session.node.userAgentVersion];
  const tables: ObjectTables = (kind) => store.state().byKind[kind];
  const version = versions.find((each): each is string => typeof each === 'string' && each !== '');
  return {
    connectionId: session.id,
    nodeId: proxy.id,
    node: nodeOf(session),
    proxyId: proxy.instance,
    type: proxy.type,
    namespace: proxy.namespace,
    clusterId: proxy.clusterId,
    version: version ?? '',
    address: peer.address,
    connectedAt: session.connectedAt,
    identities: peer.identities,
    types: session.record.types,
    view: (typeUrl) => session.view(typeUrl),
    origins: (resource) =>
      plane.snapshot === undefined ? [] : resourceOrigins(session, resource, plane.snapshot, tables),
    shapedBy: () => (plane.snapshot === undefined ? [] : proxyOrigins(session, plane.snapshot, tables)),
  };
}

/** What a `proxies.yaml` holds: enough to be translated for. */
function nodeOf({ node }: PlaneSession): object {
  const { id, cluster, metadata, locality, userAgentName, userAgentVersion } = node;
  return { id, cluster, metadata, locality, userAgentName, userAgentVersion };
}
