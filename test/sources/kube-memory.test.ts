// What ten thousand pods cost in memory once they are read: pods as they come from a cluster, with all that they carry.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import type { KubeApi } from '../../src/sources/kube-api.ts';
import { kubernetesSource } from '../../src/sources/kubernetes.ts';
import { createStore } from '../../src/store/store.ts';
import { noMeter, quietLog, realTimers } from './harness.ts';

const PODS = 10_000;
const MAX_BYTES = 150 * 1024 * 1024;

function heapAfterCollection(): number {
  setFlagsFromString('--expose_gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

/** About 4 KB of JSON. */
function pod(index: number): object {
  const app = `app-${index % 200}`;
  const env = Array.from({ length: 8 }, (_, i) => ({ name: `VARIABLE_${i}`, value: `value ${i} of pod ${index}` }));
  const container = (name: string) => ({
    ...{ name, image: `registry.example.com/team/${app}@sha256:${'0'.repeat(64)}`, env },
    ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
    resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '1', memory: '512Mi' } },
    volumeMounts: [{ name: 'token', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true }],
    livenessProbe: { httpGet: { path: '/healthz', port: 'http' }, periodSeconds: 10 },
  });
  const fields = Object.fromEntries(Array.from({ length: 15 }, (_, i) => [`f:field-${i}`, { '.': {}, 'f:x': {} }]));
  const ip = `10.${64 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
  return {
    metadata: {
      name: `${app}-${(index * 7919).toString(36)}-x${index}`,
      namespace: `team-${index % 50}`,
      uid: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
      resourceVersion: String(1000 + index),
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: {
        app,
        version: 'v1',
        'pod-template-hash': (index % 200).toString(36),
        'security.istio.io/tlsMode': 'istio',
      },
      annotations: {
        'cni.example.com/podIP': ip,
        'kubernetes.io/config.hash': 'x'.repeat(64),
        'sidecar.istio.io/status': 'y'.repeat(300),
      },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `${app}-x`, uid: 'u', controller: true }],
      managedFields: [{ manager: 'kubelet', operation: 'Update', fieldsV1: fields }],
    },
    spec: {
      ...{ nodeName: `node-${index % 300}`, serviceAccountName: app, restartPolicy: 'Always' },
      containers: [container(app), container('istio-proxy')],
      volumes: [{ name: 'token', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }],
      tolerations: [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' }],
    },
    status: {
      ...{ phase: 'Running', podIP: ip, podIPs: [{ ip }], startTime: '2026-01-01T00:00:00Z' },
      conditions: ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => ({ type, status: 'True' })),
      containerStatuses: [{ name: app, ready: true, restartCount: 0, image: 'i', imageID: 'd'.repeat(100) }],
    },
  };
}

/** Lists pods page by page, each made when it is asked for, as text as a network brings it. */
const api: KubeApi = {
  get: async (_path, { limit, continue: from = 0 }) => {
    const [start, size] = [Number(from), Number(limit)];
    const items = Array.from({ length: Math.min(size, PODS - start) }, (_, i) => pod(start + i));
    const more = start + size < PODS ? { continue: String(start + size) } : {};
    return JSON.parse(JSON.stringify({ metadata: { resourceVersion: '1', ...more }, items })) as unknown;
  },
  follow: (_path, _query, signal) =>
    new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
  send: () => Promise.reject(new Error('nothing is written')),
};

it('ten thousand pods take less than 150 MB', async () => {
  const store = createStore({ validators: () => [], log: quietLog, meter: noMeter });
  const source = kubernetesSource({ api, kinds: ['Pod'], log: quietLog, meter: noMeter, timers: realTimers });
  const before = heapAfterCollection();
  await source.start(store.sink('kubernetes'));
  await store.ready();
  const bytes = heapAfterCollection() - before;
  expect(store.state().byKind.Pod.size).toBe(PODS);
  expect(bytes).toBeLessThan(MAX_BYTES);
  if (process.env['SHOW_FIGURES'] !== undefined) console.log(`${(bytes / 1024 / 1024).toFixed(1)} MB for ${PODS} pods`);
  await source.stop();
}, 180_000);
