import { describe, expect, it } from 'vitest';
import { decodeJson } from '../../../src/codec/index.ts';
import { featuresOf } from '../../../src/config/features.ts';
import { tableGet } from '../../../src/lib/table.ts';
import { destinationRule, endpointSlice, node, pod, service } from '../../support/builders.ts';
import { type ProxyOptions, withMesh, withObjects, type World, world } from '../../support/snapshot-builders.ts';
import { sent } from '../envoyfilter/support.ts';

interface Assignment {
  readonly endpoints?: readonly {
    readonly locality?: { readonly region?: string; readonly zone?: string };
    readonly priority?: number;
    readonly lbEndpoints?: readonly {
      readonly endpoint: { readonly address: { readonly socketAddress: { readonly address: string } } };
      readonly healthStatus?: string;
    }[];
  }[];
}

const ASSIGNMENT = 'envoy.config.endpoint.v3.ClusterLoadAssignment';
const NODES = { n1: ['r1', 'a'], n2: ['r1', 'b'], n3: ['r2', 'a'], n4: ['r3', 'a'] } as const;
const nodes = Object.entries(NODES).map(([name, [region, zone]]) => node(name, { region, zone }));

const pods = (app: string, net: number, labels: object = {}) =>
  Object.keys(NODES).map((on, index) =>
    pod(`${app}-${index}`, { ip: `10.0.${net}.${index + 1}`, node: on, labels: { app, ...labels } }),
  );

const WEB = pods('web', 1);
const OBJECTS = [...nodes, ...WEB, service('web'), endpointSlice('web', WEB)];
const NEAR: ProxyOptions = { ip: '10.0.1.1', name: 'web-0' };

function decoded(bytes: Uint8Array): Assignment {
  return decodeJson(ASSIGNMENT, bytes) as Assignment;
}

/** `region/zone:priority` in order of priority. */
function ranks(at: World, options: ProxyOptions = NEAR): readonly string[] {
  const drafts = tableGet(sent(at, options).shared.endpoints, 'web.default.svc.cluster.local') ?? [];
  const [draft] = drafts;
  return (draft === undefined ? [] : (decoded(draft.bytes).endpoints ?? []))
    .map(({ locality = {}, priority = 0 }) => `${priority} ${locality.region}/${locality.zone}`)
    .sort();
}

const zones = (zoneAwareLbSetting: object) =>
  destinationRule('web', { host: 'web', trafficPolicy: { loadBalancer: { zoneAwareLbSetting } } });

describe('zone-aware load balancing', () => {
  it('puts the own region first, then the one to fail over to', () => {
    const at = world([...OBJECTS, zones({ failover: [{ from: 'r1', to: 'r3' }] })]);
    expect(ranks(at)).toEqual(['0 r1/a', '0 r1/b', '1 r3/a', '2 r2/a']);
    expect(ranks(withObjects(at, zones({})))).toEqual(['0 r1/a', '0 r1/b', '1 r2/a', '1 r3/a']);
    expect(ranks(withObjects(at, zones({ enabled: false })))).toEqual(['0 r1/a', '0 r1/b', '0 r2/a', '0 r3/a']);
  });

  it('may be the mesh that asks for it, unless something nearer is said', () => {
    const at = withMesh(world(OBJECTS), { zoneAwareLbSetting: {} });
    expect(ranks(at)).toEqual(['0 r1/a', '0 r1/b', '1 r2/a', '1 r3/a']);
    const own = destinationRule('web', {
      host: 'web',
      trafficPolicy: { loadBalancer: { localityLbSetting: { enabled: false } } },
    });
    expect(ranks(withObjects(at, own))).toEqual(['0 r1/a', '0 r1/b', '0 r2/a', '0 r3/a']);
  });
});

describe('the own pods of a proxy', () => {
  const SELF = { ENABLE_SELF_DISCOVERY: 'true', WORKLOAD_NAME: 'web-0' };
  const told = (at: World, options: ProxyOptions): readonly (string | undefined)[] =>
    sent(at, options).own.endpoints.flatMap(({ name, bytes }) => [
      name,
      ...(decoded(bytes).endpoints ?? []).flatMap(({ lbEndpoints = [] }) =>
        lbEndpoints.map(({ endpoint }) => endpoint.address.socketAddress.address),
      ),
    ]);

  it('are those of its workload in its region, and of nobody else', () => {
    const at = world(OBJECTS);
    expect(told(at, { ...NEAR, metadata: SELF })).toEqual(['local_cluster', '10.0.1.1']);
    expect(told(at, { ...NEAR, metadata: { ...SELF, WORKLOAD_NAME: 'web-2' } })).toEqual(['local_cluster']);
    expect(told(at, { ...NEAR, metadata: { WORKLOAD_NAME: 'web-0' } })).toEqual([]);
    expect(told(world(nodes), { metadata: SELF })).toEqual(['local_cluster']);
  });
});

it('endpoints with the label that says so drain, for services with sessions', () => {
  const labelled = pods('web', 1, { 'shop.example/leaving': 'yes' });
  const health = (mesh: World): readonly (string | undefined)[] => {
    const [draft] = tableGet(sent(mesh, NEAR).shared.endpoints, 'web.default.svc.cluster.local') ?? [];
    const { endpoints = [] } = decoded(draft?.bytes ?? new Uint8Array());
    return endpoints.flatMap(({ lbEndpoints = [] }) => lbEndpoints.map(({ healthStatus }) => healthStatus));
  };
  const labels = { 'istio.io/persistent-session': 'c' };
  const objects = [...nodes, ...labelled, service('web', { labels }), endpointSlice('web', labelled)];
  expect(new Set(health(world(objects)))).toEqual(new Set(['HEALTHY']));
  const features = featuresOf({ PILOT_DRAINING_LABEL: 'shop.example/leaving' }).features;
  expect(new Set(health(world(objects, { features })))).toEqual(new Set(['DRAINING']));
});
