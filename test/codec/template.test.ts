// Messages with texts filled in are the bytes of the same messages encoded whole.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyOf, constantTemplate, encode, lasting, slot, template } from '../../src/codec/index.ts';
import { MAX_SHARED, sharedBytes } from '../../src/codec/share.ts';
import type { Cluster, Messages } from '../../src/messages/index.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const VIRTUAL_HOST = 'envoy.config.route.v3.VirtualHost';

/** Slots in plain fields, maps, Anys, Structs and lists, alone and among other text. */
function cluster(host: string, name: string, secret: string): Cluster {
  return {
    name: `outbound|80||${host}`,
    altStatName: `${host}${name};`,
    connectTimeout: '10s',
    edsClusterConfig: { serviceName: host, edsConfig: lasting({ ads: {} }) },
    transportSocketMatches: [
      {
        name: 'one',
        match: { tlsMode: 'istio', list: [1, name, null, true, { deep: host }] },
        transportSocket: {
          name: 'tls',
          typedConfig: anyOf('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext', {
            sni: host,
            commonTlsContext: { tlsCertificateSdsSecretConfigs: [{ name: secret }, { name: 'constant' }] },
          }),
        },
      },
    ],
    typedExtensionProtocolOptions: {
      a: anyOf('google.protobuf.StringValue', secret),
      b: anyOf('google.protobuf.StringValue', 'constant'),
    },
    metadata: { filterMetadata: { istio: { services: [{ host, name }], external: true } } },
  };
}

const texts = fc.oneof(fc.string({ minLength: 1 }), fc.string({ unit: 'binary', minLength: 1, maxLength: 300 }));

describe('a template', () => {
  it('gives the bytes of the message with its texts', () => {
    const made = template(CLUSTER, cluster(slot(0), slot(1), slot(2)));
    fc.assert(
      fc.property(texts, texts, texts, (host, name, secret) => {
        expect(made.fill(host, name, secret)).toEqual(encode(CLUSTER, cluster(host, name, secret)));
      }),
    );
  });

  it('may have a slot as the one key of a map', () => {
    const table = (host: string, ip: string): Messages['istio.networking.nds.v1.NameTable'] => ({
      table: { [host]: { ips: [ip], registry: 'External' } },
    });
    const made = constantTemplate('istio.networking.nds.v1.NameTable', () => table(slot(0), slot(1)));
    fc.assert(
      fc.property(texts, texts, (host, ip) => {
        expect(made.fill(host, ip)).toEqual(encode('istio.networking.nds.v1.NameTable', table(host, ip)));
      }),
    );
  });

  it('gives every message bytes of its own', () => {
    const made = template(CLUSTER, cluster(slot(0), slot(1), slot(2)));
    const hosts = ['a.example', 'b.example', 'c.example', 'longer.example', 'd.example', 'other1.example'];
    const filled = hosts.map((host) => made.fill(host, 'name', 'secret'));
    expect(filled).toEqual(hosts.map((host) => encode(CLUSTER, cluster(host, 'name', 'secret'))));
  });

  it('remembers some lengths of texts, not all', () => {
    const made = template(CLUSTER, cluster(slot(0), slot(1), 'constant'));
    for (let length = 1; length <= 260; length++) {
      const name = 'n'.repeat(length);
      for (const host of ['x', 'y']) {
        const same = Buffer.compare(made.fill(host, name), encode(CLUSTER, cluster(host, name, 'constant')));
        expect(same).toBe(0);
      }
    }
  });

  it('forgets what it remembers when all of them together remember too much', () => {
    const templates = Array.from({ length: 40 }, (_, at) =>
      template('envoy.config.cluster.v3.Cluster', { name: slot(0), altStatName: `${at}`.padEnd(30_000, 'x') }),
    );
    for (let round = 0; round < 2; round++) {
      for (const [at, each] of templates.entries()) {
        for (let length = 1; length <= 16; length++) {
          const name = 'n'.repeat(length);
          const message = { name, altStatName: `${at}`.padEnd(30_000, 'x') };
          expect(Buffer.from(each.fill(name)).equals(encode('envoy.config.cluster.v3.Cluster', message))).toBe(true);
          expect(sharedBytes()).toBeLessThanOrEqual(MAX_SHARED);
        }
      }
    }
    expect(sharedBytes()).toBeGreaterThan(MAX_SHARED / 2);
  });

  it('takes as many texts as there are slots, of lengths that differ and are the same', () => {
    const host = (names: readonly string[], padding: string): Messages[typeof VIRTUAL_HOST] => ({
      name: names.join(),
      domains: [...names.toReversed(), padding],
    });
    const name = fc.oneof(fc.string({ minLength: 1, maxLength: 3 }), fc.string({ minLength: 62, maxLength: 130 }));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 }), fc.constantFrom(10, 100_000), fc.func(name), (count, size, of) => {
        const all = (round: number): string[] => Array.from({ length: count }, (_, index) => of(index, round));
        const padding = 'x'.repeat(size);
        const slots = Array.from({ length: count }, (_, index) => slot(index));
        const made = template(VIRTUAL_HOST, host(slots, padding));
        for (let round = 0; round < 12; round++) {
          const names = all(round % 7);
          expect(Buffer.compare(made.fill(...names), encode(VIRTUAL_HOST, host(names, padding)))).toBe(0);
        }
      }),
    );
  });

  it('may be of any size', () => {
    for (const size of [100, 2_000, 5_000, 20_000]) {
      const text = 'x'.repeat(size);
      const made = template(CLUSTER, cluster(slot(0), slot(1), text));
      expect(made.fill('a', text)).toEqual(encode(CLUSTER, cluster('a', text, text)));
    }
  });

  it('takes nothing for a slot that only looks like one', () => {
    // A field of number 6 after a text that ends so, and lengths and numbers that are the same bytes.
    const message = (host: string): Messages[typeof VIRTUAL_HOST] => ({
      name: host,
      domains: ['\u0001\u0002', '\u00010', host],
      includeRequestAttemptCount: true,
      routes: [{ match: { prefix: '\u0001' }, route: { cluster: '0', timeout: '0s', maxInternalRedirects: 1 } }],
    });
    expect(template(VIRTUAL_HOST, message(slot(0))).fill('x')).toEqual(encode(VIRTUAL_HOST, message('x')));
  });

  it('without slots is the message', () => {
    expect(template(CLUSTER, { name: 'x' }).fill()).toEqual(encode(CLUSTER, { name: 'x' }));
  });

  it('refuses what the wire would leave out, and what is missing', () => {
    const made = template(CLUSTER, { name: slot(0), altStatName: slot(1) });
    expect(() => made.fill('x', '')).toThrow('a text for each slot');
    expect(() => made.fill('x')).toThrow('a text for each slot');
  });
});
