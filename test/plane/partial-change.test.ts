// Which changes are known to go on: Services and Pods whose EndpointSlices are still to come.

import { describe, expect, it } from 'vitest';
import { awaitsSlices } from '../../src/plane/partial-change.ts';
import { createStore } from '../../src/store/store.ts';
import { Metrics, silentLog } from '../xds/support.ts';
import { objectsOf } from './lab.ts';

function service(name: string, spec: Record<string, unknown> = {}): unknown {
  const ports = [{ name: 'http', port: 80, protocol: 'TCP' }];
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { clusterIP: '10.0.0.1', selector: { app: name }, ports, ...spec },
  };
}

const SLICE = {
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'cart-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'cart' } },
  addressType: 'IPv4',
  endpoints: [{ addresses: ['10.1.0.1'] }],
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
};

const ACCOUNT = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'cart', namespace: 'shop' } };

function pod(name: string, labels: Record<string, string>, phase = 'Pending', annotations = {}): unknown {
  const metadata = { name, namespace: 'shop', labels, annotations };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: { nodeName: 'node-1' },
    status: { phase, podIP: '10.1.0.9' },
  };
}

function entry(workloadSelector?: unknown): unknown {
  const ports = [{ number: 80, name: 'http', protocol: 'HTTP' }];
  const spec = { hosts: ['old.example.com'], location: 'MESH_INTERNAL', resolution: 'STATIC', ports, workloadSelector };
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'old', namespace: 'shop' },
    spec,
  };
}

/** What the last batch is held to be, after those before it. */
function afterBatches(...batches: readonly (readonly unknown[])[]): boolean | undefined {
  const store = createStore({ validators: () => [], log: silentLog, meter: new Metrics() });
  let partial: boolean | undefined = undefined;
  store.onChange((state, before) => {
    partial = awaitsSlices(state.byKind, before.byKind);
  });
  const sink = store.sink('test');
  for (const batch of batches) {
    partial = undefined;
    sink.apply(objectsOf(batch).map((object) => ({ kind: 'upsert', object })));
  }
  return partial;
}

describe('the rest is known to follow', () => {
  it('after new Services that select Pods', () => {
    expect(afterBatches([service('cart')])).toBe(true);
    expect(afterBatches([service('other')], [service('cart'), service('cart-headless', { clusterIP: 'None' })])).toBe(
      true,
    );
  });

  it('after Pods that come, or are in another state', () => {
    expect(afterBatches([pod('a', { app: 'cart' })])).toBe(true);
    expect(afterBatches([pod('a', { app: 'cart' })], [pod('a', { app: 'cart' }, 'Running')])).toBe(true);
    expect(afterBatches([entry()], [pod('a', { app: 'cart' })])).toBe(true);
    expect(afterBatches([service('cart'), pod('a', { app: 'cart' })])).toBe(true);
  });

  it('not after Pods that something else goes by', () => {
    const before = pod('a', { app: 'cart' });
    expect(afterBatches([before], [pod('a', { app: 'cart', version: 'v2' })])).toBe(false);
    expect(afterBatches([before], [pod('a', { app: 'cart' }, 'Pending', { note: 'x' })])).toBe(false);
    expect(afterBatches([entry({ labels: { app: 'other' } })], [before])).toBe(false);
    expect(afterBatches([before, SLICE])).toBe(false);
  });

  it('after nothing else', () => {
    expect(afterBatches([service('cart'), SLICE])).toBe(false);
    expect(afterBatches([service('cart')], [SLICE])).toBe(false);
    expect(afterBatches([service('cart')], [service('cart', { clusterIP: '10.0.0.2' })])).toBe(false);
    expect(afterBatches([service('old')], [service('new'), service('old', { selector: { app: 'new' } })])).toBe(false);
    expect(afterBatches([service('by-hand', { selector: {} })])).toBe(false);
    expect(afterBatches([service('alias', { type: 'ExternalName', externalName: 'example.com' })])).toBe(false);
    expect(afterBatches([ACCOUNT, service('cart')])).toBe(false);
  });
});
