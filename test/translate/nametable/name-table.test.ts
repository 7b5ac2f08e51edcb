import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeJson, encodeJson } from '../../../src/codec/index.ts';
import type { ServiceEntrySpec } from '../../../src/config/generated/types.ts';
import type { ConfigObject } from '../../../src/config/object.ts';
import { headlessNames, nameTable, namesOf } from '../../../src/translate/nametable/index.ts';
import { endpointSlice, type Meta, pod, service, serviceEntry, sidecar } from '../../support/builders.ts';
import { type ProxyOptions, withObjects, withoutObjects, type World, world } from '../../support/snapshot-builders.ts';
import { sent } from '../envoyfilter/support.ts';

const NAME_TABLE = 'istio.networking.nds.v1.NameTable';

interface Info {
  readonly ips: readonly string[];
  readonly registry: string;
  readonly shortname?: string;
  readonly namespace?: string;
}

const CAPTURING: ProxyOptions = { metadata: { DNS_CAPTURE: 'true' } };

function tableAt(at: World, options: ProxyOptions = CAPTURING): Readonly<Record<string, Info>> {
  const { bytes } = nameTable(sent(at, options).scope);
  return ((decodeJson(NAME_TABLE, bytes) as { table?: Record<string, Info> }).table ?? {}) as never;
}

function table(objects: readonly ConfigObject[], options?: ProxyOptions): Readonly<Record<string, Info>> {
  return tableAt(world(objects), options);
}

/** `host: ip,ip` of each entry, sorted. */
function told(objects: readonly ConfigObject[], options?: ProxyOptions): readonly string[] {
  return Object.entries(table(objects, options))
    .map(([host, { ips }]) => `${host}: ${ips.join(',')}`)
    .sort();
}

const entry = (name: string, spec: ServiceEntrySpec, meta: Meta = {}) =>
  serviceEntry(name, { ports: [{ number: 80, name: 'http', protocol: 'HTTP' }], ...spec }, meta);

it('a dual stack pod is answered with both addresses', () => {
  const both = pod('db-0', { ips: ['10.0.0.7', 'fd00::7'], labels: { app: 'db' } });
  const chosen = serviceEntry(
    'db',
    {
      ...{ hosts: ['db.example.com'], resolution: 'NONE', workloadSelector: { labels: { app: 'db' } } },
      ports: [{ number: 90, name: 'tcp', protocol: 'TCP' }],
    },
    { labels: { 'networking.istio.io/enable-autoallocate-ip': 'false' } },
  );
  const dual = { mesh: { defaultConfig: { proxyMetadata: { ISTIO_DUAL_STACK: 'true' } } } };
  expect(tableAt(world([both, chosen], dual))['db.example.com']?.ips).toEqual(['10.0.0.7', 'fd00::7']);
  expect(tableAt(world([both, chosen]))['db.example.com']?.ips).toEqual(['10.0.0.7']);
});

it('gateways are given no names', () => {
  const web = service('web', { clusterIPs: ['10.96.0.1'] });
  expect(Object.keys(table([web], { ...CAPTURING, type: 'router' }))).toEqual([]);
});

it('leads to the same from before and from nothing, after any changes', () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const address = fc.constantFrom('10.96.0.1', '10.96.0.2', 'None');
  const object = fc.oneof(
    fc.tuple(name, address).map(([of, ip]) => service(of, { clusterIPs: [ip], selector: { app: of } })),
    fc.tuple(name, fc.constantFrom('10.0.0.1', '10.0.0.2')).map(([of, ip]) => endpointSlice(of, [ip])),
    fc.tuple(name, name, fc.constantFrom('10.1.0.1', '10.1.0.2')).map(([of, host, ip]) => {
      const hosts = [host === 'a' ? 'a.default.svc.cluster.local' : `${host}.example.com`];
      return entry(of, { hosts, addresses: [ip], resolution: 'STATIC' });
    }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), object), { minLength: 1, maxLength: 8 }), (steps) => {
      let at = world([]);
      let before = sent(at, CAPTURING);
      let warm = nameTable(before.scope);
      for (const [put, each] of steps) {
        at = put ? withObjects(at, each) : withoutObjects(at, each);
        before = sent(at, CAPTURING, before);
        warm = nameTable(before.scope, warm);
      }
      const cold = nameTable(before.scope);
      expect([Buffer.from(warm.bytes).toString(), warm.origins]).toEqual([
        Buffer.from(cold.bytes).toString(),
        cold.origins,
      ]);
    }),
    { numRuns: 100 },
  );
});

describe('services', () => {
  it('are answered with their addresses, Kubernetes ones by short names too', () => {
    const objects = [
      service('web', { clusterIPs: ['10.96.0.1'] }),
      entry('a', { hosts: ['a.example.com', '*.wild.example.com'], addresses: ['240.0.0.1'], resolution: 'STATIC' }),
    ];
    expect(table(objects)).toEqual({
      'web.default.svc.cluster.local': {
        ips: ['10.96.0.1'],
        registry: 'Kubernetes',
        shortname: 'web',
        namespace: 'default',
      },
      'a.example.com': { ips: ['240.0.0.1'], registry: 'External' },
      '*.wild.example.com': { ips: ['240.0.0.1'], registry: 'External' },
    });
  });

  it('are answered with what was allocated for them, where names are captured', () => {
    const objects = [entry('a', { hosts: ['a.example.com'], resolution: 'DNS' })];
    expect(told(objects)).toEqual([expect.stringMatching(/^a\.example\.com: 240\.240\./)]);
    expect(told(objects, {})).toEqual([]);
  });

  it('are left to the resolver where they have no address, or a prefix only', () => {
    const objects = [
      entry('net', { hosts: ['net.example.com'], addresses: ['172.30.0.0/16', '172.31.5.5'], resolution: 'NONE' }),
      entry('prefix', { hosts: ['prefix.example.com'], addresses: ['172.29.0.0/16'], resolution: 'NONE' }),
      entry('any', { hosts: ['any.example.com'], resolution: 'NONE' }),
    ];
    expect(told(objects)).toEqual(['net.example.com: 172.31.5.5']);
  });

  it('are those that the proxy may see, each for its own namespace', () => {
    const objects = [
      entry(
        'mine',
        { hosts: ['x.example.com'], addresses: ['240.0.0.1'], resolution: 'STATIC' },
        { namespace: 'default' },
      ),
      entry(
        'theirs',
        { hosts: ['x.example.com'], addresses: ['240.0.0.2'], resolution: 'STATIC' },
        { namespace: 'other' },
      ),
      entry(
        'hidden',
        { hosts: ['y.example.com'], addresses: ['240.0.0.3'], resolution: 'STATIC', exportTo: ['.'] },
        { namespace: 'other' },
      ),
    ];
    expect(told(objects)).toEqual(['x.example.com: 240.0.0.1']);
    expect(told(objects, { ...CAPTURING, namespace: 'other' })).toEqual([
      'x.example.com: 240.0.0.2',
      'y.example.com: 240.0.0.3',
    ]);
  });

  it('are those of the Sidecar', () => {
    const objects = [
      service('web', { clusterIPs: ['10.96.0.1'] }),
      service('api', { namespace: 'other', clusterIPs: ['10.96.0.2'] }),
      sidecar('s', { egress: [{ hosts: ['./*'] }] }),
    ];
    expect(told(objects)).toEqual(['web.default.svc.cluster.local: 10.96.0.1']);
  });

  it('of several addresses are answered with all of them', () => {
    const objects = [
      entry('a', { hosts: ['a.example.com'], addresses: ['240.0.0.1', '240.0.0.2'], resolution: 'STATIC' }),
    ];
    expect(told(objects)).toEqual(['a.example.com: 240.0.0.1,240.0.0.2']);
  });

  it('are answered in the families of the proxy', () => {
    const objects = [
      service('dual', { clusterIPs: ['10.96.0.1', 'fd00::1'] }),
      service('four', { clusterIPs: ['10.96.0.2'] }),
    ];
    const v6: ProxyOptions = { ...CAPTURING, ip: 'fd00::9', ips: ['fd00::9'] };
    const both: ProxyOptions = { ...CAPTURING, ips: ['10.0.0.9', 'fd00::9'] };
    expect(told(objects)).toEqual([
      'dual.default.svc.cluster.local: 10.96.0.1',
      'four.default.svc.cluster.local: 10.96.0.2',
    ]);
    expect(told(objects, v6)).toEqual(['dual.default.svc.cluster.local: fd00::1']);
    expect(told(objects, both)).toEqual([
      'dual.default.svc.cluster.local: 10.96.0.1',
      'four.default.svc.cluster.local: 10.96.0.2',
    ]);
  });
});

describe('headless services', () => {
  const headless = (options: Parameters<typeof service>[1] = {}) =>
    service('db', { ports: ['tcp:5432', 'admin:9000'], clusterIPs: ['None'], selector: { app: 'db' }, ...options });
  const one = pod('db-0', { ip: '10.0.0.1', hostname: 'db-0', subdomain: 'db', labels: { app: 'db' } });
  const two = pod('db-1', { ip: '10.0.0.2', ready: false, labels: { app: 'db' } });
  const slice = endpointSlice('db', [one, two], { ports: ['tcp:5432', 'admin:9000'] });
  const DB = 'db.default.svc.cluster.local';

  it('are answered with endpoints that are ready, each once, and pods by their names', () => {
    expect(table([headless(), one, two, slice])).toEqual({
      [DB]: { ips: ['10.0.0.1'], registry: 'Kubernetes', shortname: 'db', namespace: 'default' },
      [`db-0.${DB}`]: { ips: ['10.0.0.1'], registry: 'Kubernetes', shortname: 'db-0.db', namespace: 'default' },
    });
  });

  it('publish those that are not ready where they say so', () => {
    expect(table([headless({ publishNotReadyAddresses: true }), one, two, slice])[DB]?.ips).toEqual([
      '10.0.0.1',
      '10.0.0.2',
    ]);
  });

  it('are not answered without endpoints', () => {
    expect(told([headless()])).toEqual([]);
  });
});

describe('the table', () => {
  it('is the same draft until an answer changes', () => {
    const objects = [
      service('web', { clusterIPs: ['10.96.0.1'], selector: { app: 'web' } }),
      service('db', { clusterIPs: ['None'], selector: { app: 'db' } }),
      pod('web-0', { ip: '10.0.0.1', labels: { app: 'web' } }),
      pod('db-0', { ip: '10.0.0.2', labels: { app: 'db' } }),
      endpointSlice('web', [pod('web-0', { ip: '10.0.0.1' })]),
      endpointSlice('db', [pod('db-0', { ip: '10.0.0.2' })]),
    ];
    const first = world(objects);
    const before = sent(first, CAPTURING);
    const moved = withObjects(
      first,
      pod('web-0', { ip: '10.0.0.9', labels: { app: 'web' } }),
      endpointSlice('web', [pod('web-0', { ip: '10.0.0.9' })]),
    );
    const same = sent(moved, CAPTURING, before);
    expect(same.scope).not.toBe(before.scope);
    const table = nameTable(before.scope);
    expect(nameTable(same.scope, table)).toBe(table);

    const grown = withObjects(moved, endpointSlice('db', ['10.0.0.3']));
    const runs = (): number => namesOf.counts.runs + headlessNames.counts.runs;
    const start = runs();
    const { scope } = sent(grown, CAPTURING, same);
    const next = nameTable(scope, table);
    expect(runs()).toBe(start + 1);
    expect(encodeJson(NAME_TABLE, decodeJson(NAME_TABLE, next.bytes))).toEqual(next.bytes);
    expect(next).not.toBe(table);
    expect(next).toEqual(nameTable(scope));
    expect(tableAt(grown)['db.default.svc.cluster.local']?.ips).toEqual(['10.0.0.3']);
  });

  it('of many services looks at the one that comes', () => {
    const many = world(
      Array.from({ length: 30 }, (_, index) => service(`s-${index}`, { clusterIPs: [`10.96.0.${index + 1}`] })),
    );
    const before = sent(many, CAPTURING);
    const table = nameTable(before.scope);
    const grown = withObjects(many, service('t', { clusterIPs: ['10.96.1.1'] }));
    const { scope } = sent(grown, CAPTURING, before);
    const asked = (): number => namesOf.counts.runs + namesOf.counts.hits;
    const start = asked();
    expect(nameTable(scope, table)).not.toBe(table);
    expect(asked()).toBe(start + 1);
  });

  it('keeps a name that one of two services gives up', () => {
    const [one, two] = ['one', 'two'].map((name, index) =>
      entry(name, { hosts: ['x.example.com'], addresses: [`10.1.0.${index + 1}`], resolution: 'STATIC' }),
    ) as [ConfigObject, ConfigObject];
    const first = world([one, two]);
    const before = sent(first, CAPTURING);
    const after = sent(withoutObjects(first, one), CAPTURING, before);
    const next = nameTable(after.scope, nameTable(before.scope));
    expect(next.bytes).toEqual(nameTable(after.scope).bytes);
    expect(tableAt(withoutObjects(first, one))['x.example.com']?.ips).toEqual(['10.1.0.2']);
  });

  it('names the objects behind its answers', () => {
    const { origins } = nameTable(sent(world([service('web', { clusterIPs: ['10.96.0.1'] })]), CAPTURING).scope);
    expect(origins).toMatchObject([{ kind: 'Service', namespace: 'default', name: 'web' }]);
  });
});
