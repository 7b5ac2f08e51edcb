import { describe, expect, it } from 'vitest';
import {
  authorizationPolicy,
  envoyFilter,
  object,
  peerAuthentication,
  requestAuthentication,
  telemetry,
} from '../support/builders.ts';
import { linkOf, type ProxyOptions, proxy, scopeFor, world } from '../support/snapshot-builders.ts';

const ROOT = 'istio-system';
const app = (value: string) => ({ selector: { matchLabels: { app: value } } });
const policiesOf = (objects: Parameters<typeof world>[0], options: ProxyOptions = {}) =>
  linkOf(world(objects), proxy(options)).workload.policies;
const names = (list: readonly { readonly namespace: string; readonly name: string }[]) =>
  list.map((each) => `${each.namespace}/${each.name}`);

describe('PeerAuthentication', () => {
  const mtls = (mode: 'STRICT' | 'PERMISSIVE' | 'DISABLE' | 'UNSET') => ({ mtls: { mode } });
  const mesh = peerAuthentication('mesh', mtls('STRICT'), { namespace: ROOT });
  const wide = peerAuthentication('wide', mtls('PERMISSIVE'), { namespace: 'a' });
  const own = peerAuthentication(
    'own',
    { ...app('x'), ...mtls('DISABLE'), portLevelMtls: { '8080': { mode: 'STRICT' }, '9000': { mode: 'UNSET' } } },
    { namespace: 'a' },
  );
  const unset = (name: string, spec = {}) =>
    peerAuthentication(name, { ...mtls('UNSET'), ...spec }, { namespace: 'a' });
  type Case = [string, Parameters<typeof world>[0], string, Record<string, string>, string, readonly string[]];

  it.each<Case>([
    ['nothing', [], 'a', {}, 'PERMISSIVE', []],
    ['the mesh', [mesh], 'a', {}, 'STRICT', ['istio-system/mesh']],
    ['the namespace before the mesh', [mesh, wide], 'a', {}, 'PERMISSIVE', ['a/wide', 'istio-system/mesh']],
    [
      'the workload before both',
      [mesh, wide, own],
      'a',
      { app: 'x' },
      'DISABLE',
      ['a/own', 'a/wide', 'istio-system/mesh'],
    ],
    ['only where it selects', [mesh, wide, own], 'a', { app: 'y' }, 'PERMISSIVE', ['a/wide', 'istio-system/mesh']],
    [
      'UNSET falls to the next level',
      [mesh, unset('u'), unset('w', app('x'))],
      'a',
      { app: 'x' },
      'STRICT',
      ['a/w', 'a/u', 'istio-system/mesh'],
    ],
    ['UNSET everywhere', [unset('u')], 'a', {}, 'PERMISSIVE', ['a/u']],
    [
      'a selector has no meaning in the root namespace',
      [peerAuthentication('s', { ...app('x'), ...mtls('STRICT') }, { namespace: ROOT })],
      'a',
      { app: 'x' },
      'PERMISSIVE',
      [],
    ],
    [
      'nor for its own workloads',
      [peerAuthentication('s', { ...app('x'), ...mtls('STRICT') }, { namespace: ROOT })],
      ROOT,
      { app: 'x' },
      'PERMISSIVE',
      [],
    ],
    [
      'the oldest of a level',
      [
        peerAuthentication('b', mtls('STRICT'), { namespace: 'a', created: 1 }),
        peerAuthentication('a', mtls('DISABLE'), { namespace: 'a', created: 2 }),
      ],
      'a',
      {},
      'STRICT',
      ['a/b'],
    ],
  ])('%s', (_case, objects, namespace, labels, mode, sources) => {
    const { peerAuthn } = policiesOf(objects, { namespace, labels });
    expect(peerAuthn.mode).toBe(mode);
    expect(names(peerAuthn.sources)).toEqual(sources);
  });

  it('has modes of ports from the workload level alone; UNSET is the mode of the workload', () => {
    const ports = { portLevelMtls: { '1': { mode: 'STRICT' as const } } };
    const { peerAuthn } = policiesOf([own, peerAuthentication('wide', { ...ports }, { namespace: 'a' })], {
      namespace: 'a',
      labels: { app: 'x' },
    });
    expect([...peerAuthn.portLevel]).toEqual([
      [8080, 'STRICT'],
      [9000, 'DISABLE'],
    ]);
  });

  it('answers for endpoints and for namespaces', () => {
    const index = world([mesh, wide, own]).snapshot.peerAuthn;
    expect(index.modeOf('a', { app: 'x' }, 8080)).toBe('STRICT');
    expect(index.modeOf('a', { app: 'x' }, 1)).toBe('DISABLE');
    expect(index.modeOf('a', {}, 8080)).toBe('PERMISSIVE');
    expect([index.namespaceMode('a'), index.namespaceMode('b')]).toEqual(['PERMISSIVE', 'STRICT']);
    expect(names(index.objects)).toEqual(['istio-system/mesh', 'a/own', 'a/wide']);
  });
});

describe('AuthorizationPolicy and RequestAuthentication', () => {
  it('are those of the root namespace, then of the own one, that select the workload, oldest first', () => {
    const { authorization, requestAuthn } = policiesOf(
      [
        authorizationPolicy('root', {}, { namespace: ROOT, created: 9 }),
        authorizationPolicy('rooted', app('x'), { namespace: ROOT, created: 8 }),
        authorizationPolicy('not', app('y'), { namespace: ROOT }),
        authorizationPolicy('b', app('x'), { namespace: 'a', created: 2 }),
        authorizationPolicy('a', {}, { namespace: 'a', created: 3 }),
        authorizationPolicy('foreign', {}, { namespace: 'b' }),
        requestAuthentication('jwt', app('x'), { namespace: 'a' }),
        requestAuthentication('no', app('y'), { namespace: 'a' }),
      ],
      { namespace: 'a', labels: { app: 'x' } },
    );
    expect(names(authorization)).toEqual(['istio-system/rooted', 'istio-system/root', 'a/b', 'a/a']);
    expect(names(requestAuthn)).toEqual(['a/jwt']);
  });

  const target = (name: string, more = {}) => ({
    targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name, ...more }],
  });
  const gatewayPod: ProxyOptions = {
    type: 'router',
    namespace: 'a',
    labels: { 'gateway.networking.k8s.io/gateway-name': 'g', app: 'x' },
  };

  it.each<[string, object, string, ProxyOptions, boolean]>([
    ['its Gateway', target('g'), 'a', gatewayPod, true],
    ['another Gateway', target('h'), 'a', gatewayPod, false],
    ['a Gateway of that name elsewhere', target('g'), 'b', gatewayPod, false],
    ['a Gateway of another namespace', target('g', { namespace: 'b' }), 'a', gatewayPod, false],
    ['a Service', { targetRefs: [{ group: '', kind: 'Service', name: 'g' }] }, 'a', gatewayPod, false],
    ['its Gateway, in the single form', { targetRef: target('g').targetRefs[0] }, 'a', gatewayPod, true],
    ['its labels', app('x'), 'a', gatewayPod, true],
    ['a Gateway, seen by a pod of none', target('g'), 'a', { namespace: 'a', labels: { app: 'g' } }, false],
  ])('a policy that names %s', (_case, spec, namespace, options, applies) => {
    const { authorization } = policiesOf([authorizationPolicy('p', spec, { namespace })], options);
    expect(authorization).toHaveLength(applies ? 1 : 0);
  });

  it('are no part of the outbound side of a sidecar, but of a router', () => {
    const at = world([authorizationPolicy('p', {}), peerAuthentication('s', { mtls: { mode: 'STRICT' } })]);
    expect(scopeFor(at).policies.authorization).toEqual([]);
    expect(scopeFor(at).policies.peerAuthn.mode).toBe('PERMISSIVE');
    expect(names(scopeFor(at, { type: 'router' }).policies.authorization)).toEqual(['default/p']);
  });
});

describe('order of extensions', () => {
  it('EnvoyFilters: priority, root namespace, age, name', () => {
    const { envoyFilters } = policiesOf(
      [
        envoyFilter('z', {}, { namespace: 'a', created: 1 }),
        envoyFilter('b', {}, { namespace: 'a', created: 2 }),
        envoyFilter('a', {}, { namespace: 'a', created: 2 }),
        envoyFilter('root', {}, { namespace: ROOT, created: 9 }),
        envoyFilter('early', { priority: -1 }, { namespace: 'a', created: 9 }),
        envoyFilter('late', { priority: 5 }, { namespace: ROOT }),
        envoyFilter('not', { workloadSelector: { labels: { app: 'y' } } }, { namespace: 'a' }),
      ],
      { namespace: 'a', labels: { app: 'x' } },
    );
    expect(envoyFilters.map((each) => each.name)).toEqual(['early', 'root', 'z', 'a', 'b', 'late']);
  });

  it.each(['WasmPlugin', 'TrafficExtension'] as const)('%s: higher priority first, then NAME.NAMESPACE', (kind) => {
    const one = (name: string, namespace: string, priority?: number) =>
      object(kind, name, priority === undefined ? {} : { priority }, { namespace });
    const policies = policiesOf(
      [one('b', 'a'), one('b', ROOT), one('low', 'a', -5), one('high', ROOT, 10), one('a', 'a'), one('no', 'other')],
      { namespace: 'a' },
    );
    const list = kind === 'WasmPlugin' ? policies.wasmPlugins : policies.trafficExtensions;
    expect(names(list)).toEqual(['istio-system/high', 'a/low', 'a/a', 'a/b', 'istio-system/b']);
  });

  it('Telemetry: the oldest of mesh, namespace and workload', () => {
    const { telemetry: chosen } = policiesOf(
      [
        telemetry('mesh', {}, { namespace: ROOT }),
        telemetry('selecting', app('x'), { namespace: ROOT }),
        telemetry('late', {}, { namespace: 'a', created: 2 }),
        telemetry('wide', {}, { namespace: 'a', created: 1 }),
        telemetry('own', app('x'), { namespace: 'a' }),
        telemetry('not', app('y'), { namespace: 'a' }),
      ],
      { namespace: 'a', labels: { app: 'x' } },
    );
    expect([chosen.mesh?.name, chosen.namespace?.name, chosen.workload?.name]).toEqual(['mesh', 'wide', 'own']);
    expect(policiesOf([telemetry('mesh', {}, { namespace: ROOT })], { namespace: ROOT }).telemetry).toMatchObject({
      mesh: { name: 'mesh' },
    });
  });
});
