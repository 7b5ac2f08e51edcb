// The kinds of change whose way to the proxies is timed: what is written, and by which text proxies know that they have it.
// The last services are changed: proxies stand beside the first ones, so that nobody's own workload is touched.

import { TYPE_URL } from '../src/ir/draft.ts';
import { hostOf, type MeshShape, namespaceOf, serviceManifests, trafficManifests } from './mesh.ts';
import { fileOf, trafficFileOf } from './mesh-folder.ts';
import type { Tracked } from './proxies/marks.ts';

/** One file of the mesh's folder with another content; without manifests it goes away. */
export interface FileChange {
  readonly file: string;
  readonly manifests: readonly object[];
}

export interface ChangeKind {
  readonly name: string;
  /** What must be there before the first round, so that all rounds are alike. */
  readonly before?: (shape: MeshShape) => FileChange;
  /** `round` counts from 0, over all rounds of a run. */
  readonly make: (shape: MeshShape, round: number) => FileChange & { readonly mark: Tracked };
  /** Takes a round back, unmeasured. */
  readonly undo?: (shape: MeshShape, round: number) => FileChange;
}

/** An address of its own for each number, in 100.64/16. */
export function churnAddress(number: number): string {
  return `100.64.${Math.floor(number / 250) % 250}.${1 + (number % 250)}`;
}

export const CHURN_MARK: Tracked = { typeUrl: TYPE_URL.endpoint, pattern: '100\\.64\\.\\d+\\.\\d+' };

const ENDPOINT: ChangeKind = {
  name: 'endpoint',
  make: (shape, round) => {
    const last = `100.66.0.${1 + (round % 250)}`;
    const index = shape.services - 1;
    const manifests = serviceManifests(shape, index, { last });
    return { file: fileOf(index), manifests, mark: { typeUrl: TYPE_URL.endpoint, pattern: escaped(last) } };
  },
};

/** Ten times the endpoints of one service. */
const SCALE: ChangeKind = {
  name: 'scale',
  make: (shape, round) => {
    const block = `100.65.${round % 250}`;
    const more = { count: Math.min(9 * shape.endpoints, 250), block };
    const mark = { typeUrl: TYPE_URL.endpoint, pattern: escaped(`${block}.1`) };
    const index = shape.services - 2;
    return { file: fileOf(index), manifests: serviceManifests(shape, index, { more }), mark };
  },
  undo: (shape) => ({ file: fileOf(shape.services - 2), manifests: serviceManifests(shape, shape.services - 2) }),
};

const WEIGHT: ChangeKind = {
  name: 'route weight',
  make: (shape, round) => {
    const weight = 11 + (round % 80);
    // weighted_clusters.clusters {weight {value}}: field 2, length 2, field 1, value.
    const pattern = escaped(String.fromCharCode(0x12, 2, 8, weight));
    return {
      file: trafficFileOf(0),
      manifests: trafficManifests(shape, 0, { weight }),
      mark: { typeUrl: TYPE_URL.route, pattern },
    };
  },
};

const NEW_SERVICE: ChangeKind = {
  name: 'new service',
  make: (shape, round) => {
    const index = shape.services + round;
    const mark = { typeUrl: TYPE_URL.cluster, pattern: escaped(hostOf(shape, index)) };
    return { file: fileOf(index), manifests: serviceManifests(shape, index), mark };
  },
};

/** Of the whole mesh: it is in the inbound listener of every proxy. */
const AUTHORIZATION: ChangeKind = {
  name: 'authorization policy',
  before: () => ({ file: 'policy', manifests: [denied('before')] }),
  make: (_shape, round) => {
    const account = `round-${round}-denied`;
    return { file: 'policy', manifests: [denied(account)], mark: { typeUrl: TYPE_URL.listener, pattern: account } };
  },
};

function denied(account: string): object {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'bench', namespace: 'istio-system' },
    spec: { action: 'DENY', rules: [{ from: [{ source: { principals: [`cluster.local/ns/bench/sa/${account}`] } }] }] },
  };
}

const RULE: ChangeKind = {
  name: 'destination rule',
  before: (shape) => ({ file: 'rule', manifests: [ruleFor(shape, 'before.example')] }),
  make: (shape, round) => {
    const sni = `round-${round}.example`;
    return {
      file: 'rule',
      manifests: [ruleFor(shape, sni)],
      mark: { typeUrl: TYPE_URL.cluster, pattern: escaped(sni) },
    };
  },
};

function ruleFor(shape: MeshShape, sni: string): object {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: 'bench', namespace: namespaceOf(shape, shape.services - 3) },
    spec: { host: hostOf(shape, shape.services - 3), trafficPolicy: { tls: { mode: 'SIMPLE', sni } } },
  };
}

export const CHANGES: readonly ChangeKind[] = [ENDPOINT, SCALE, WEIGHT, NEW_SERVICE, AUTHORIZATION, RULE];

function escaped(text: string): string {
  return text.replace(/[.|*+?^$(){}[\]\\]/g, '\\$&');
}
