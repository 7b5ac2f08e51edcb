import { describe, expect, it } from 'vitest';
import type { DestinationRuleSpec } from '../../src/config/generated/types.ts';
import { tableGet } from '../../src/lib/table.ts';
import { destinationRule, service } from '../support/builders.ts';
import { ruleOf, scopeFor, world } from '../support/snapshot-builders.ts';

const HOST = 'svc.default.svc.cluster.local';
const pool = (maxConnections: number): DestinationRuleSpec => ({
  trafficPolicy: { connectionPool: { tcp: { maxConnections } } },
});
const rule = (name: string, namespace: string, spec: DestinationRuleSpec = {}, created = 0) =>
  destinationRule(name, { host: HOST, ...spec }, { namespace, created });
const chosen = (rules: readonly ReturnType<typeof rule>[], namespace: string, labels = {}) =>
  ruleOf(scopeFor(world([service('svc'), ...rules]), { namespace, labels }), HOST);

describe('which rule', () => {
  const everywhere = [rule('c', 'client'), rule('s', 'default'), rule('r', 'istio-system')];
  it.each<[string, string, readonly ReturnType<typeof rule>[], readonly string[] | undefined]>([
    ['the namespace of the client first', 'client', everywhere, ['client/c']],
    ['then that of the service', 'other', everywhere, ['default/s']],
    ['then the root namespace', 'other', [rule('c', 'client'), rule('r', 'istio-system')], ['istio-system/r']],
    ['clients of the root namespace skip their public rules', 'istio-system', everywhere, ['default/s']],
    [
      'but not their private ones',
      'istio-system',
      [...everywhere, rule('p', 'istio-system', { exportTo: ['.'] })],
      ['istio-system/p'],
    ],
    ['never that of a third namespace', 'other', [rule('c', 'client')], undefined],
    ['a rule that is not exported stays at home', 'other', [rule('s', 'default', { exportTo: ['.'] })], undefined],
    ['and applies there', 'default', [rule('s', 'default', { exportTo: ['.'] })], ['default/s']],
    ['a rule for others does not apply at home', 'default', [rule('s', 'default', { exportTo: ['other'] })], undefined],
    ['but there', 'other', [rule('s', 'default', { exportTo: ['other'] })], ['default/s']],
    ['nor anywhere else', 'third', [rule('s', 'default', { exportTo: ['other'] })], undefined],
    ['nobody sees ~', 'default', [rule('s', 'default', { exportTo: ['~'] })], undefined],
  ])('%s', (_rule, namespace, rules, expected) => {
    expect(chosen(rules, namespace)).toEqual(expected);
  });

  it('takes the most specific host of a level, and a level before a more specific host', () => {
    const wild = (name: string, namespace: string, host: string) => rule(name, namespace, { host });
    const rules = [
      wild('a', 'default', '*.local'),
      wild('b', 'default', '*.svc.cluster.local'),
      wild('r', 'client', '*'),
    ];
    expect(chosen(rules, 'other')).toEqual(['default/b']);
    expect(chosen(rules, 'client')).toEqual(['client/r']);
    expect(chosen([...rules, rule('x', 'default')], 'other')).toEqual(['default/x']);
  });

  it('completes short names with the namespace of the rule', () => {
    expect(chosen([rule('s', 'default', { host: 'svc' })], 'other')).toEqual(['default/s']);
    expect(chosen([rule('s', 'client', { host: 'svc' })], 'client')).toBeUndefined();
  });

  it('a selector applies to matching clients of its namespace, others use what is there without it', () => {
    const selecting = rule('v', 'client', { workloadSelector: { matchLabels: { app: 'vip' } } });
    const rules = [selecting, rule('c', 'client', { exportTo: ['.'] }), rule('s', 'default')];
    expect(chosen(rules, 'client', { app: 'vip' })).toEqual(['client/v']);
    expect(chosen(rules, 'client', { app: 'x' })).toEqual(['client/c']);
    expect(chosen([selecting, rule('s', 'default')], 'client')).toEqual(['default/s']);
    expect(chosen([selecting], 'other', { app: 'vip' })).toBeUndefined();
  });

  it('follows the default exportTo of the mesh', () => {
    const at = world([service('svc'), rule('s', 'default')], { mesh: { defaultDestinationRuleExportTo: ['.'] } });
    expect(ruleOf(scopeFor(at, { namespace: 'other' }), HOST)).toBeUndefined();
    expect(ruleOf(scopeFor(at, { namespace: 'default' }), HOST)).toEqual(['default/s']);
  });
});

describe('merging rules of one host', () => {
  const subset = (name: string, version: string) => ({ name, labels: { version } });
  const merged = (...rules: readonly ReturnType<typeof rule>[]) =>
    tableGet(scopeFor(world([service('svc'), ...rules]), { namespace: 'other' }).services, HOST)?.rule;

  it('appends new subsets, keeps the first of a name and the first traffic policy', () => {
    const node = merged(
      rule('b', 'default', { ...pool(22), subsets: [subset('v2', '2'), subset('v1', '9')] }, 2),
      rule('a', 'default', { ...pool(2), subsets: [subset('v1', '1')] }, 1),
    );
    expect(node?.objects.map((object) => object.name)).toEqual(['a', 'b']);
    expect(node?.subsets).toEqual([subset('v1', '1'), subset('v2', '2')]);
    expect(node?.trafficPolicy).toEqual(pool(2).trafficPolicy);
  });

  it('takes a traffic policy from a later rule where the first has none', () => {
    expect(merged(rule('a', 'default', {}, 1), rule('b', 'default', pool(3), 2))?.trafficPolicy).toEqual(
      pool(3).trafficPolicy,
    );
  });

  it('keeps rules of different audiences apart', () => {
    const rules = [rule('a', 'default', { exportTo: ['x', 'y'] }), rule('b', 'default', { exportTo: ['z'] })];
    expect(chosen(rules, 'x')).toEqual(['default/a']);
    expect(chosen(rules, 'z')).toEqual(['default/b']);
  });

  it('merges selectors only where they are the same', () => {
    const selecting = (name: string, app: string, version: string) =>
      rule(name, 'client', {
        workloadSelector: { matchLabels: { app } },
        subsets: [subset(name, version)],
      });
    const rules = [selecting('a', 'x', '1'), selecting('b', 'x', '2'), selecting('c', 'y', '3')];
    expect(chosen(rules, 'client', { app: 'x' })).toEqual(['client/a', 'client/b']);
    expect(chosen(rules, 'client', { app: 'y' })).toEqual(['client/c']);
  });

  it('lays policies of the Gateway API under those of users', () => {
    const backend = destinationRule(
      'gen',
      { host: HOST, trafficPolicy: { tls: { mode: 'SIMPLE' }, connectionPool: { tcp: { maxConnections: 1 } } } },
      { created: 1, annotations: { 'internal.istio.io/parents': 'BackendTLSPolicy/x.default' } },
    );
    expect(merged(backend, rule('u', 'default', pool(9), 2))?.trafficPolicy).toMatchObject({
      tls: { mode: 'SIMPLE' },
      ...pool(9).trafficPolicy,
    });
  });
});
