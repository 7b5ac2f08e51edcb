import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Service } from '../../../src/ir/service.ts';
import type { Claimed } from '../../../src/translate/routes/claims-of-listener.ts';
import { type Addressing, type DomainClaim, hostClaim, serviceClaim } from '../../../src/translate/routes/domains.ts';
import { ownerOf, SETTLED, settle } from '../../../src/translate/routes/settle.ts';

function service(hostname: string, options: Partial<Service> = {}): Service {
  return {
    hostname,
    name: hostname,
    namespace: 'shop',
    registry: 'Kubernetes',
    resolution: 'ClientSideLB',
    ports: [{ name: 'http', number: 80, protocol: 'HTTP' }],
    defaultAddress: '0.0.0.0',
    clusterVips: new Map(),
    exportTo: '*',
    labels: {},
    meshExternal: false,
    nodeLocal: false,
    publishNotReadyAddresses: false,
    subjectAltNames: [],
    serviceAccounts: [],
    aliases: [],
    clusterLocal: false,
    headless: false,
    selectsWorkloads: false,
    created: 0,
    refs: [],
    ...options,
  };
}

function from(dnsDomain: string, options: Partial<Addressing> = {}): Addressing {
  return { dnsDomain, clusterId: 'c1', family: 'v4', dnsCapture: false, dualStack: false, ...options };
}

const REVIEWS = 'reviews.shop.svc.cluster.local';
const vips = (...addresses: string[]): Partial<Service> => ({ clusterVips: new Map([['c1', addresses]]) });

interface Case {
  readonly name: string;
  readonly service: Service;
  readonly from: Addressing;
  readonly want: readonly string[];
}

const CASES: readonly Case[] = [
  {
    name: 'same namespace',
    service: service(REVIEWS, vips('10.0.0.1')),
    from: from('shop.svc.cluster.local'),
    want: [REVIEWS, `${REVIEWS}.`, 'reviews', 'reviews.shop.svc', 'reviews.shop', '10.0.0.1'],
  },
  {
    name: 'another namespace',
    service: service(REVIEWS),
    from: from('web.svc.cluster.local'),
    want: [REVIEWS, `${REVIEWS}.`, 'reviews.shop', 'reviews.shop.svc'],
  },
  {
    name: 'a host outside of Kubernetes has no abbreviations there',
    service: service('api.example.com'),
    from: from('web.svc.cluster.local'),
    want: ['api.example.com', 'api.example.com.'],
  },
  {
    name: 'a machine outside of Kubernetes: what both names share goes',
    service: service('foo.ns1.campus.net'),
    from: from('ns2.campus.net'),
    want: ['foo.ns1.campus.net', 'foo.ns1.campus.net.', 'foo.ns1', 'foo.ns1.campus'],
  },
  {
    name: 'headless: names of pods below every form',
    service: service(REVIEWS, { resolution: 'Passthrough', headless: true }),
    from: from('web.svc.cluster.local'),
    want: [
      REVIEWS,
      `${REVIEWS}.`,
      'reviews.shop',
      'reviews.shop.svc',
      `*.${REVIEWS}`,
      `*.${REVIEWS}.`,
      '*.reviews.shop',
      '*.reviews.shop.svc',
    ],
  },
  {
    name: 'an alias brings its own forms',
    service: service(REVIEWS, { aliases: ['old.web.svc.cluster.local'] }),
    from: from('web.svc.cluster.local'),
    want: [
      REVIEWS,
      `${REVIEWS}.`,
      'reviews.shop',
      'reviews.shop.svc',
      'old.web.svc.cluster.local',
      'old.web.svc.cluster.local.',
      'old',
      'old.web.svc',
      'old.web',
    ],
  },
  {
    name: 'addresses of the own cluster in the own family',
    service: service('a.b', vips('10.0.0.1', 'fd00::1')),
    from: from('x', { family: 'v6' }),
    want: ['a.b', 'a.b.', '[fd00::1]'],
  },
  {
    name: 'virtual addresses where the agent resolves names',
    service: service('a.b', { registry: 'External', autoAllocated: { v4: '240.240.0.1', v6: '2001:2::1' } }),
    from: from('x', { dnsCapture: true }),
    want: ['a.b', 'a.b.', '240.240.0.1'],
  },
  {
    name: 'no virtual address where it does not',
    service: service('a.b', { registry: 'External', autoAllocated: { v4: '240.240.0.1', v6: '2001:2::1' } }),
    from: from('x'),
    want: ['a.b', 'a.b.'],
  },
];

describe('domains of a service', () => {
  for (const { name, service: given, from: addressing, want } of CASES) {
    it(name, () => expect(serviceClaim(given, 80, false, addressing).domains).toEqual(want));
  }

  it('come with ports on a proxy port', () => {
    const claim = serviceClaim(service('a.b', vips('10.0.0.1')), 8080, true, from('x'));
    expect(claim.domains).toEqual(['a.b', 'a.b:8080', 'a.b.', 'a.b.:8080', '10.0.0.1', '10.0.0.1:8080']);
  });

  it('are one object for all namespaces but the own', () => {
    const given = service(REVIEWS);
    const claim = serviceClaim(given, 80, false, from('one.svc.cluster.local'));
    expect(serviceClaim(given, 80, false, from('two.svc.cluster.local'))).toBe(claim);
    expect(serviceClaim(given, 80, false, from('shop.svc.cluster.local'))).not.toBe(claim);
  });
});

/** Claims with routes of their own. */
function claimed(...claims: readonly DomainClaim[]): Claimed[] {
  return claims.map((claim) => ({ claim, list: { routes: [], origins: [], findings: [] } }));
}

describe('settle', () => {
  const of = (hostname: string, dnsDomain = 'shop.svc.cluster.local', options: Partial<Service> = {}) =>
    serviceClaim(service(hostname, options), 80, false, from(dnsDomain));

  it('gives a domain to the first that claims it, whatever the case', () => {
    const first = hostClaim('A.example.com', 80);
    const second = hostClaim('a.example.com', 80);
    const { settled, lost } = settle(claimed(first, second), false, undefined);
    expect(settled.map((each) => each.domains)).toEqual(['A.example.com']);
    expect(lost.map((each) => [each.claimed.claim, each.domain])).toEqual([[second, 'a.example.com']]);
  });

  it('lets an abbreviation give way to a service of that very name, even a later one', () => {
    const expanding = of('foo.com.svc.cluster.local', 'com.svc.cluster.local');
    expect(expanding.domains).toContain('foo.com');
    const { settled } = settle(claimed(expanding, of('foo.com')), false, undefined);
    const domains = Object.fromEntries(settled.map((each) => [each.claimed.claim.host, each.domains.split('\n')]));
    expect(domains['foo.com.svc.cluster.local']).not.toContain('foo.com');
    expect(domains['foo.com']).toContain('foo.com');
  });

  it('keeps one virtual host of a name', () => {
    const { settled, lost } = settle(claimed(hostClaim('a', 80), hostClaim('a', 80)), false, undefined);
    expect(settled).toHaveLength(1);
    expect(lost).toHaveLength(1);
  });

  it('orders by name and finds owners', () => {
    const settlement = settle(claimed(hostClaim('b', 80), hostClaim('a', 80)), false, undefined);
    expect(settlement.settled.map((each) => each.claimed.claim.name)).toEqual(['a:80', 'b:80']);
    expect(ownerOf(settlement, 'b')?.claimed).toBe(settlement.claimed[0]);
    expect(ownerOf(settlement, 'c')).toBeUndefined();
    expect(settlement.wildcard).toBe(false);
    expect(settle(claimed(hostClaim('*', 80)), false, undefined).wildcard).toBe(true);
  });

  it('on proxy ports a name without a port goes to the first claim, and counts on port 80 alone', () => {
    const claims = [8080, 80].map((port) => serviceClaim(service('a.b'), port, true, from('x')));
    const { settled } = settle(claimed(...claims), true, undefined);
    expect(settled.map((each) => each.domains.split('\n'))).toEqual([
      ['a.b:80', 'a.b.:80'],
      ['a.b:8080', 'a.b.:8080'],
    ]);
  });

  it('is kept while the claims are the same', () => {
    const claims = claimed(hostClaim('a', 80));
    const settlement = settle(claims, false, undefined);
    expect(settle([...claims], false, settlement)).toBe(settlement);
  });

  describe('after one change', () => {
    const hosts = Array.from({ length: 50 }, (_, index) => `svc-${index}.shop.svc.cluster.local`);
    const many = claimed(...hosts.map((host) => of(host)));
    const before = settle(many, false, undefined);
    const decidedOver = (next: readonly Claimed[]): number => {
      const { claims } = SETTLED;
      settle(next, false, before);
      return SETTLED.claims - claims;
    };

    it('decides over what shares a domain with it, and nothing else', () => {
      expect(decidedOver([...many, ...claimed(of('late.shop.svc.cluster.local'))])).toBe(1);
      expect(decidedOver([...claimed(hostClaim('svc-7', 80)), ...many])).toBe(2);
      expect(decidedOver(many.slice(1))).toBe(0);
    });

    it('of routes decides over nothing', () => {
      const next = many.map((each, index) => (index === 9 ? claimed(each.claim) : each)).flat();
      expect(decidedOver(next)).toBe(0);
      expect(settle(next, false, before).settled.filter((each) => !before.settled.includes(each))).toHaveLength(1);
    });
  });

  it('leads to the same from before and from nothing', () => {
    const names = ['a', 'b', 'c', 'a.b', 'A.b', 'b.svc.cluster.local', 'a.b.svc.cluster.local', '*', '10.0.0.1'];
    const claim = fc
      .tuple(fc.constantFrom(...names), fc.constantFrom(80, 81), fc.boolean(), fc.boolean(), fc.boolean())
      .map(([host, port, known, proxied, headless]) => {
        const options = headless ? { resolution: 'Passthrough' as const, ...vips('10.0.0.1') } : {};
        const own = service(host, options);
        return known ? serviceClaim(own, port, proxied, from('b.svc.cluster.local')) : hostClaim(host, port);
      });
    // Where, how many go, who comes, and whether those that are there get other routes instead.
    const step = fc.tuple(fc.nat(11), fc.nat(2), fc.array(claim, { maxLength: 2 }), fc.boolean());
    fc.assert(
      fc.property(
        fc.array(claim, { maxLength: 12 }),
        fc.array(step, { minLength: 1, maxLength: 6 }),
        fc.boolean(),
        (first, steps, explicitPorts) => {
          let list = claimed(...first);
          let warm = settle(list, explicitPorts, undefined);
          for (const [at, count, come, routes] of steps) {
            const gone = list.slice(at, at + count);
            list = list.toSpliced(at, count, ...claimed(...(routes ? gone.map((each) => each.claim) : come)));
            warm = settle(list, explicitPorts, warm);
            const shown = ({ settled, lost, wildcard }: typeof warm) => [
              settled.map((each) => [list.indexOf(each.claimed), each.domains]),
              lost.map((each) => [list.indexOf(each.claimed), each.domain]),
              wildcard,
            ];
            expect(shown(warm)).toEqual(shown(settle(list, explicitPorts, undefined)));
          }
        },
      ),
      { numRuns: 150 },
    );
  });
});
