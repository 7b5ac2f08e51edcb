import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ServiceEntryStatus } from '../../src/config/core.ts';
import type { ServiceEntrySpec } from '../../src/config/generated/types.ts';
import { newFindings } from '../../src/registry/findings.ts';
import { buildRegistry } from '../../src/registry/registry.ts';
import { allocateVips, NO_VIPS, vipClaims } from '../../src/registry/vips.ts';
import { type Meta, serviceEntry, tables } from '../support/builders.ts';
import { codes, OPTIONS, registryOf, serviceAt } from './support.ts';

function entry(name: string, spec: ServiceEntrySpec = {}, meta: Meta = {}, status?: ServiceEntryStatus) {
  return serviceEntry(
    name,
    { hosts: [`${name}.org`], ports: [{ number: 80, name: 'http', protocol: 'HTTP' }], resolution: 'DNS', ...spec },
    meta,
    status,
  );
}

const given = (host: string, ...values: string[]): ServiceEntryStatus => ({
  addresses: values.map((value) => ({ host, value })),
});

describe('who gets a virtual address', () => {
  it.each([
    ['DNS', {}, {}, true],
    ['STATIC', { resolution: 'STATIC' }, {}, true],
    ['NONE', { resolution: 'NONE' }, {}, false],
    ['own addresses', { addresses: ['1.2.3.4'] }, {}, false],
    ['wildcard', { hosts: ['*.org'] }, {}, false],
    ['wildcard of DYNAMIC_DNS', { hosts: ['*.org'], resolution: 'DYNAMIC_DNS' }, {}, true],
    ['opted out', {}, { labels: { 'networking.istio.io/enable-autoallocate-ip': 'False' } }, false],
    ['opted in', {}, { labels: { 'networking.istio.io/enable-autoallocate-ip': 'true' } }, true],
  ] as [string, ServiceEntrySpec, Meta, boolean][])('%s', (_name, spec, meta, expected) => {
    const host = spec.hosts?.[0] ?? 'x.org';
    const { autoAllocated, defaultAddress } = serviceAt(registryOf([entry('x', spec, meta)]), host);
    expect(autoAllocated !== undefined).toBe(expected);
    if (expected) {
      expect(autoAllocated?.v4).toMatch(/^240\.240\.\d+\.\d+$/);
      expect(autoAllocated?.v6).toMatch(/^2001:2::[0-9a-f]+$/);
      expect(defaultAddress).toBe('0.0.0.0');
    }
  });

  it('nobody when allocation is off', () => {
    expect(serviceAt(registryOf([entry('x')], { autoAllocate: false }), 'x.org').autoAllocated).toBeUndefined();
  });

  it('each host of each namespace its own', () => {
    const registry = registryOf([entry('x', { hosts: ['a.org', 'b.org'] }), entry('x', {}, { namespace: 'other' })]);
    expect([...registry.vips.keys()].sort()).toEqual(['default/a.org', 'default/b.org', 'other/x.org']);
    expect(new Set([...registry.vips.values()].map((vip) => vip.v4)).size).toBe(3);
  });
});

describe('addresses in the status', () => {
  it('are taken over', () => {
    const status = given('x.org', '2001:2::7', '240.240.0.7');
    expect(serviceAt(registryOf([entry('x', {}, {}, status)]), 'x.org').autoAllocated).toEqual({
      v4: '240.240.0.7',
      v6: '2001:2::7',
    });
  });

  it('belong to the oldest of two objects', () => {
    const registry = registryOf([
      entry('young', {}, { created: 2 }, given('young.org', '240.240.0.7')),
      entry('old', {}, { created: 1 }, given('old.org', '240.240.0.7')),
    ]);
    expect(registry.vips.get('default/old.org')).toEqual({ v4: '240.240.0.7', v6: '' });
    expect(registry.vips.get('default/young.org')?.v4).not.toBe('240.240.0.7');
    expect(registry.findings).toMatchObject([{ code: 'MEL0109', ref: { name: 'young' } }]);
  });

  it('win over an allocation that is not written down', () => {
    const first = registryOf([entry('a')]);
    const held = first.vips.get('default/a.org')?.v4 ?? '';
    const second = buildRegistry(first, tables(entry('a'), entry('b', {}, {}, given('b.org', held))), OPTIONS);
    expect(second.vips.get('default/b.org')?.v4).toBe(held);
    expect(second.vips.get('default/a.org')?.v4).not.toBe(held);
    expect(serviceAt(second, 'a.org').autoAllocated?.v4).toBe(second.vips.get('default/a.org')?.v4);
  });
});

describe('allocateVips', () => {
  it('avoids addresses that users wrote into objects', () => {
    const alone = registryOf([entry('a')]).vips.get('default/a.org');
    const registry = registryOf([entry('a'), entry('b', { addresses: [alone?.v4 ?? ''] })]);
    expect(registry.vips.get('default/a.org')?.v4).not.toBe(alone?.v4);
  });

  it('starts from a seed', () => {
    const seed = new Map([['default/a.org', { v4: '240.240.9.9', v6: '2001:2::909' }]]);
    const registry = buildRegistry(undefined, tables(entry('a'), entry('b')), OPTIONS, seed);
    expect(registry.vips.get('default/a.org')).toBe(seed.get('default/a.org'));
  });

  it('says when the range is full', () => {
    const reserved = new Set<string>();
    for (let i = 1; i <= 65534; i++) reserved.add(`240.240.${i >> 8}.${i & 255}`);
    const findings = newFindings();
    expect(allocateVips(NO_VIPS, vipClaims(entry('a')), reserved, findings).size).toBe(0);
    expect(findings.list).toMatchObject([{ code: 'MEL0108' }]);
  });

  it('never gives one address twice, never moves one, and does not depend on order', () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,3}$/), { maxLength: 40 });
    fc.assert(
      fc.property(names, names, (before, after) => {
        const claims = (list: readonly string[]) => list.flatMap((name) => vipClaims(entry(name)));
        const first = allocateVips(NO_VIPS, claims(before), new Set(), newFindings());
        expect([...allocateVips(NO_VIPS, claims([...before].reverse()), new Set(), newFindings())]).toEqual([...first]);
        const second = allocateVips(first, claims(after), new Set(), newFindings());
        expect(second.size).toBe(after.length);
        expect(new Set([...second.values()].map((vip) => vip.v4)).size).toBe(after.length);
        for (const [key, vip] of second) if (first.has(key)) expect(vip).toBe(first.get(key));
        expect(allocateVips(second, claims(after), new Set(), newFindings())).toBe(second);
      }),
    );
  });
});

it('an unrelated change of a ServiceEntry allocates nothing anew', () => {
  const input = tables(entry('a'), entry('b'));
  const first = buildRegistry(undefined, input, OPTIONS);
  const second = buildRegistry(first, input.with(entry('a', { endpoints: [{ address: '10.0.0.1' }] })), OPTIONS);
  expect(second.vips).toBe(first.vips);
  expect(codes(second)).toEqual([]);
});
