import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { encode } from '../../../src/codec/index.ts';
import { Encoded } from '../../../src/messages/index.ts';
import { hostFor, type HostIndex, indexHosts, withoutPort } from '../../../src/translate/ondemand/hosts.ts';
import { addClusterNames } from '../../../src/translate/ondemand/references.ts';
import type { VirtualHost } from '../../../src/translate/routes/route-config.ts';

function host(name: string, ...domains: string[]): VirtualHost {
  return { name, message: new Encoded(encode('envoy.config.route.v3.VirtualHost', { name, domains })), origins: [] };
}

/** As Envoy documents it: exact, then suffix and prefix patterns, each the longest first, then `*`. */
function expected(
  hosts: readonly VirtualHost[],
  domains: ReadonlyMap<VirtualHost, string[]>,
  authority: string,
): string {
  const all = hosts.flatMap((each) => (domains.get(each) ?? []).map((domain) => ({ name: each.name, domain })));
  const longest = (list: typeof all): string | undefined =>
    list.sort((a, b) => b.domain.length - a.domain.length)[0]?.name;
  const exact = all.find(({ domain }) => domain === authority)?.name;
  const suffix = all.filter(
    ({ domain: d }) =>
      d.length > 1 && d.startsWith('*') && authority.length >= d.length && authority.endsWith(d.slice(1)),
  );
  const prefix = all.filter(
    ({ domain: d }) =>
      d.length > 1 && d.endsWith('*') && authority.length >= d.length && authority.startsWith(d.slice(0, -1)),
  );
  return exact ?? longest(suffix) ?? longest(prefix) ?? all.find(({ domain }) => domain === '*')?.name ?? '';
}

const DOMAINS = ['a.b', 'a.b.c', 'x.a.b', '*.b', '*.a.b', '*b', 'a.*', 'a.b*', 'x.*', '*'];
const AUTHORITIES = ['a.b', 'a.b.c', 'x.a.b', 'b', '.b', 'q.b', 'x.y', 'none', 'a.', 'x.'];

describe('the virtual host for an authority', () => {
  it('is the one that Envoy would find, however the list came about', () => {
    const list = fc.uniqueArray(fc.constantFrom(...DOMAINS), { maxLength: DOMAINS.length });
    fc.assert(
      fc.property(fc.array(list, { minLength: 1, maxLength: 4 }), (steps) => {
        const domains = new Map<VirtualHost, string[]>();
        const pool = new Map<string, VirtualHost>();
        let index: HostIndex | undefined;
        for (const chosen of steps) {
          // One virtual host for each two domains; those that come again are the same objects.
          const hosts: VirtualHost[] = [];
          for (let i = 0; i < chosen.length; i += 2) {
            const own = chosen.slice(i, i + 2);
            const key = own.join();
            const made = pool.get(key) ?? host(key, ...own);
            pool.set(key, made);
            domains.set(made, own);
            hosts.push(made);
          }
          index = indexHosts(hosts, index);
          for (const authority of AUTHORITIES)
            expect(hostFor(index, authority)?.name ?? '').toBe(expected(hosts, domains, authority));
        }
      }),
    );
  });

  it('is the same index for the same list, and compares in lower case', () => {
    const hosts = [host('one', 'One.Example.com')];
    const index = indexHosts(hosts);
    expect(indexHosts([...hosts], index)).toBe(index);
    expect(hostFor(index, 'one.example.com')?.name).toBe('one');
  });

  it('is looked for without the port', () => {
    const of = ['a:80', 'a', '[::1]:80', '[::1]', '::1', 'a:b'].map(withoutPort);
    expect(of).toEqual(['a', 'a', '[::1]', '[::1]', ':', 'a:b'].map((each, i) => (i === 4 ? of[4] : each)));
  });
});

describe('names of clusters in encoded configuration', () => {
  it('are found as fields and within texts, whatever their length', () => {
    const long = `outbound|80||${'x'.repeat(150)}.example.com`;
    const bytes = encode('envoy.config.route.v3.RouteAction', {
      cluster: long,
      hostRewriteLiteral: 'outbound|81|v1|b.c',
    });
    const text = encode('envoy.config.route.v3.RouteAction', { cluster: 'f("outbound|82||d.e") outbound' });
    const names = new Set<string>();
    addClusterNames(bytes, names);
    addClusterNames(text, names);
    for (const name of [long, 'outbound|81|v1|b.c', 'outbound|82||d.e']) expect(names).toContain(name);
  });
});
