// The running server as the debug pages see it.

import type { ConnectionInfo, ConsolePort } from '../console/port.ts';
import { tableValues } from '../lib/table.ts';
import type { PlaneSession } from '../plane/proxy-session.ts';
import type { ServerOptions, World } from '../server.ts';
import type { ConfigSide } from './config.ts';

/** Kinds whose objects hold secrets: the pages say that they exist and nothing more. */
const HIDDEN = new Set(['Secret']);

/** `leaving`: the server is being stopped, and nobody should be sent here any more. */
export function consolePort(
  options: ServerOptions,
  world: World,
  config: ConfigSide,
  leaving: () => boolean,
): ConsolePort {
  return {
    version: options.version,
    unready: () => (leaving() ? ['shutting down'] : config.unready()),
    connections: () => [...config.plane.sessions].map(connectionInfo),
    snapshot: () => config.plane.snapshot,
    findings: () => config.findings(),
    objects: () => objects(config),
    scopes: () => world.root.scopes(),
    setLevel: (scope, level) => world.root.setLevel(scope, level),
    metrics: () => world.metrics.render(),
    metricsType: world.metrics.contentType,
  };
}

function* objects({ store }: ConfigSide): Generator<object> {
  for (const table of Object.values(store.state().byKind)) {
    for (const object of tableValues(table))
      yield HIDDEN.has(object.kind) ? { ...object, spec: { redacted: true } } : object;
  }
}

function connectionInfo(session: PlaneSession): ConnectionInfo {
  const { proxy, peer } = session;
  const versions = [proxy.metadata['ISTIO_VERSION'], proxy.metadata['MELTEMI_VERSION'], session.node.userAgentVersion];
  const version = versions.find((each): each is string => typeof each === 'string' && each !== '');
  return {
    connectionId: session.id,
    nodeId: proxy.id,
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
  };
}
