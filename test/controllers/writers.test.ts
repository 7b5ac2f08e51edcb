import { afterEach, describe, expect, it } from 'vitest';
import { rootCertController, type RootSource } from '../../src/controllers/root-certs.ts';
import { bundlePatch, webhookBundleController } from '../../src/controllers/webhook-bundles.ts';
import { pass, rigOf, settle } from './support.ts';

const MAP = (namespace: string): string => `/api/v1/namespaces/${namespace}/configmaps/istio-ca-root-cert`;
const ADMISSION = '/apis/admissionregistration.k8s.io/v1';
const open: AbortController[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.abort();
});

function working(): AbortSignal {
  const controller = new AbortController();
  open.push(controller);
  return controller.signal;
}

function rootsOf(first: string): RootSource & { turn(pem: string): void } {
  let pem = first;
  const listeners = new Set<() => void>();
  return {
    current: () => pem,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    turn: (next) => {
      pem = next;
      for (const listener of listeners) listener();
    },
  };
}

describe('the root certificate in every namespace', () => {
  const start = (chosen: (namespace: string) => boolean = () => true) => {
    const rig = rigOf();
    const roots = rootsOf('ROOT 1');
    for (const name of ['shop', 'bank', 'kube-public'])
      rig.kube.put(`/api/v1/namespaces/${name}`, { metadata: { name } });
    let changed: () => void = () => undefined;
    const onSelection = (listener: () => void) => {
      changed = listener;
      return () => undefined;
    };
    rootCertController({ ...rig.ports, roots, selected: (ns) => chosen(ns), onSelection }, working());
    return { ...rig, roots, reselect: () => changed() };
  };

  it('is put there, with its label, and not where no workloads are', async () => {
    const { kube } = start();
    await settle();
    expect(kube.read(MAP('shop'))).toMatchObject({
      metadata: { labels: { 'istio.io/config': 'true' } },
      data: { 'root-cert.pem': 'ROOT 1' },
    });
    expect(kube.read(MAP('bank'))).toBeDefined();
    expect(kube.read(MAP('kube-public'))).toBeUndefined();
    expect(kube.writes).toHaveLength(2);
  });

  it('is put right when it is changed or deleted, when a namespace is new, and when the root turns', async () => {
    const { kube, roots } = start();
    await settle();
    kube.put(MAP('shop'), { metadata: { name: 'istio-ca-root-cert' }, data: { 'root-cert.pem': 'EVIL', mine: 'x' } });
    kube.delete(MAP('bank'));
    kube.put('/api/v1/namespaces/new', { metadata: { name: 'new' } });
    await settle();
    expect(kube.read(MAP('shop'))?.['data']).toEqual({ 'root-cert.pem': 'ROOT 1', mine: 'x' });
    expect(kube.read(MAP('bank'))).toBeDefined();
    expect(kube.read(MAP('new'))).toBeDefined();
    const before = kube.writes.length;
    roots.turn('ROOT 2');
    await settle();
    expect(kube.read(MAP('new'))?.['data']).toEqual({ 'root-cert.pem': 'ROOT 2' });
    // Three namespaces, once each: its own writes are no reason to write again.
    expect(kube.writes.length - before).toBe(3);
  });

  it('leaves namespaces alone that are not selected or about to go', async () => {
    let chosen = new Set(['bank']);
    const { kube, reselect } = start((ns) => chosen.has(ns));
    kube.put('/api/v1/namespaces/ending', { metadata: { name: 'ending', deletionTimestamp: '2026-01-01T00:00:00Z' } });
    await settle();
    expect(kube.writes).toEqual([`PATCH ${MAP('bank')}`]);
    chosen = new Set(['shop', 'ending']);
    reselect();
    await settle();
    expect(kube.writes).toEqual([`PATCH ${MAP('bank')}`, `PATCH ${MAP('shop')}`]);
  });

  it('tries again after a failure, and is right after an outage', async () => {
    const { kube, timers } = start();
    await settle();
    kube.down = true;
    await pass(timers, 5_000);
    kube.delete(MAP('shop'));
    kube.down = false;
    await pass(timers, 40_000);
    expect(kube.read(MAP('shop'))).toBeDefined();
    let refusals = 3;
    kube.onWrite = () => {
      if (refusals-- > 0) throw new Error('busy');
    };
    kube.delete(MAP('shop'));
    await pass(timers, 10_000);
    expect(kube.read(MAP('shop'))).toBeDefined();
  });
});

describe('the CA bundle of webhooks', () => {
  const entry = (name: string, caBundle?: string) => ({
    name,
    clientConfig: { service: { name: 'istiod', namespace: 'istio-system', path: '/inject' }, caBundle },
    failurePolicy: 'Ignore',
  });
  const configuration = (name: string, revision: string, ...webhooks: object[]) => ({
    metadata: { name, labels: { 'istio.io/rev': revision } },
    webhooks,
  });
  const bundle = (pem: string): string => Buffer.from(pem).toString('base64');

  it('is patched where it is ours, of our revision, and other; nothing else is touched', async () => {
    const { kube, ports } = rigOf();
    const roots = rootsOf('ROOT 1');
    const mutating = `${ADMISSION}/mutatingwebhookconfigurations`;
    const validating = `${ADMISSION}/validatingwebhookconfigurations`;
    const ours = entry('rev.namespace.sidecar-injector.istio.io');
    kube.put(`${mutating}/a`, configuration('a', 'canary', ours, entry('other.example.com', 'theirs')));
    kube.put(`${mutating}/b`, configuration('b', 'stable', ours));
    kube.put(`${validating}/istio-validator-canary`, configuration('istio-validator-canary', 'canary', entry('v')));
    kube.put(`${validating}/strange`, configuration('strange', 'canary', entry('v')));
    webhookBundleController({ ...ports, roots, revision: 'canary' }, working());
    await settle();
    expect(kube.writes).toEqual([`PATCH ${mutating}/a`, `PATCH ${validating}/istio-validator-canary`]);
    expect(kube.read(`${mutating}/a`)?.['webhooks']).toEqual([
      { ...ours, clientConfig: { ...ours.clientConfig, caBundle: bundle('ROOT 1') } },
      entry('other.example.com', 'theirs'),
    ]);
    // Damaged by somebody, then rotated.
    kube.put(`${mutating}/a`, configuration('a', 'canary', entry('x.sidecar-injector.istio.io', bundle('EVIL'))));
    await settle();
    expect(kube.read(`${mutating}/a`)).toMatchObject({ webhooks: [{ clientConfig: { caBundle: bundle('ROOT 1') } }] });
    roots.turn('ROOT 2');
    await settle();
    expect(kube.read(`${mutating}/a`)).toMatchObject({ webhooks: [{ clientConfig: { caBundle: bundle('ROOT 2') } }] });
    expect(kube.read(`${mutating}/b`)?.['webhooks']).toEqual([ours]);
  });

  it('names entries by place and tests that they are still there', () => {
    const steps = bundlePatch(configuration('a', 'r', entry('x'), entry('y')), (name) => name === 'y', 'B');
    expect(steps).toEqual([
      { op: 'test', path: '/webhooks/1/name', value: 'y' },
      { op: 'add', path: '/webhooks/1/clientConfig/caBundle', value: 'B' },
    ]);
  });
});
