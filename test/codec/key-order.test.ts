// The encoder remembers orders of keys: whatever order a message comes in, and whatever came before, its bytes are the same.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyOf, decodeJson, encode, encodeJson, lasting } from '../../src/codec/index.ts';
import { messageInfo } from '../../src/codec/table.ts';
import { failure } from './failure.ts';
import { oracleDecode, oracleEncode } from './oracle.ts';
import { randomMessage, TYPES } from './random-message.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const LISTENER = 'envoy.config.listener.v3.Listener';
const ROUTER = 'envoy.extensions.filters.http.router.v3.Router';
const TEXT_TYPE = 'google.protobuf.StringValue';

/** The same message with its keys, at every depth, in an order that the seed gives; some keys hold nothing. */
function shuffled(value: unknown, seed: number): unknown {
  if (Array.isArray(value)) return value.map((item, index) => shuffled(item, seed + index));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item], index) => ({
    rank: Math.imul(seed ^ (index + 1), 0x9e3779b1) >>> 0,
    entry: [key, shuffled(item, seed + index)] as const,
  }));
  entries.sort((a, b) => a.rank - b.rank);
  return Object.fromEntries(entries.map(({ entry }) => entry));
}

describe('the order of keys', () => {
  it('changes no byte', () => {
    fc.assert(
      fc.property(fc.constantFrom(...TYPES), fc.integer(), fc.integer(), (type, seed, order) => {
        const message = randomMessage(type, seed);
        const bytes = encodeJson(type, message);
        expect(encodeJson(type, shuffled(message, order))).toEqual(bytes);
        expect(oracleDecode(type, bytes)).toEqual(oracleDecode(type, oracleEncode(type, message)));
      }),
      { numRuns: 400 },
    );
  });

  it('may be any, and there may be more of them than are remembered', () => {
    const texts = (messageInfo(CLUSTER)?.fields ?? []).filter(
      ({ shape, scalar, oneof }) => shape === 'one' && 'sub'.includes(scalar) && scalar !== '' && oneof < 0,
    );
    expect(texts.length).toBeGreaterThan(3);
    const wanted = new Map<number, Uint8Array>();
    for (let order = 0; order < 4000; order++) {
      const chosen = order % 31;
      const message = Object.fromEntries([
        ['name', 'c'],
        ...texts
          .filter((_, index) => (chosen >> (index % 5)) & 1)
          .map(({ jsonName, scalar }) => [jsonName, scalar === 's' ? 'x' : scalar === 'b' ? true : 7]),
        ['connectTimeout', `${chosen}s`],
        ['circuitBreakers', { thresholds: [{ maxRequests: chosen + 1 }] }],
      ]);
      const bytes = encodeJson(CLUSTER, shuffled(message, order));
      const known = wanted.get(chosen) ?? bytes;
      wanted.set(chosen, known);
      expect(Buffer.compare(bytes, known)).toBe(0);
    }
    expect(wanted.size).toBe(31);
  });

  it('that is known does not let through what is new', () => {
    const good = { name: 'c', type: 'EDS', connectTimeout: '1s' } as const;
    const bytes = encode(CLUSTER, good);
    expect(failure(CLUSTER, { name: 'c', type: 'EDS', nope: 1 })).toBe(`nope | a field of ${CLUSTER}`);
    expect(failure(CLUSTER, { name: 'c', type: 'EDS', nope: undefined })).toBe('none');
    expect(failure(CLUSTER, { name: 'c', type: 'EDS', clusterType: { name: 'x' } })).toBe(
      'clusterType | to be set without type: they exclude each other',
    );
    expect(failure(CLUSTER, { clusterType: { name: 'x' }, name: 'c', type: 'EDS' })).toBe(
      'type | to be set without clusterType: they exclude each other',
    );
    expect(failure(CLUSTER, { ...good, '@type': 'x/y' })).toBe(`@type | a field of ${CLUSTER}`);
    expect(failure(CLUSTER, { ...good, connectTimeout: 'soon' })).toBe('connectTimeout | a duration such as "1.5s"');
    expect(encode(CLUSTER, good)).toEqual(bytes);
  });

  it('counts within Anys as well, wherever their type stands', () => {
    const any = anyOf(ROUTER, { suppressEnvoyHeaders: true, strictCheckHeaders: ['x-a'] });
    const bytes = encode('google.protobuf.Any', any);
    const { '@type': url, ...fields } = any;
    expect(encodeJson('google.protobuf.Any', { ...fields, '@type': url })).toEqual(bytes);
    expect(failure('google.protobuf.Any', { ...any, type: 1 })).toBe(`type | a field of ${ROUTER}`);
    const bad = { ...any, strictCheckHeaders: ['x-a', 1] };
    const listener = { filterChains: [{}, { filters: [{ name: 'f', typedConfig: bad }] }] };
    expect(failure(LISTENER, listener)).toBe('filterChains[1].filters[0].typedConfig.strictCheckHeaders[1] | a string');
    const options = { typedExtensionProtocolOptions: { 'a.b': any, 'c d': bad } };
    expect(failure(CLUSTER, options)).toBe('typedExtensionProtocolOptions["c d"].strictCheckHeaders[1] | a string');
  });
});

describe('text', () => {
  it('is UTF-8 whatever its length and its characters', () => {
    const utf8 = new TextEncoder();
    const short = fc.string({ unit: 'binary', maxLength: 60 });
    const long = fc.tuple(fc.string({ unit: 'binary-ascii', minLength: 30, maxLength: 300 }), short, fc.nat(300));
    const text = fc.oneof(
      short,
      fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)), maxLength: 90 }),
      long.map(([base, part, at]) => base.slice(0, at) + part + base.slice(at)),
    );
    fc.assert(
      fc.property(text, (value) => {
        const bytes = encodeJson('envoy.config.core.v3.DataSource', { inlineString: value });
        const expected = utf8.encode(value);
        expect(Buffer.compare(bytes.subarray(bytes.length - expected.length), expected)).toBe(0);
        expect(decodeJson('envoy.config.core.v3.DataSource', bytes)).toEqual({
          inlineString: new TextDecoder('utf-8', { ignoreBOM: true }).decode(expected),
        });
      }),
      { numRuns: 1000 },
    );
    expect(encodeJson(TEXT_TYPE, 'é'.repeat(41)).length).toBe(2 + 82);
  });
});

describe('lasting messages', () => {
  const tracing = { provider: { name: 'zipkin', typedConfig: anyOf(ROUTER, { suppressEnvoyHeaders: true }) } };

  it('are written as others are, the first time and later', () => {
    const plain = encode('google.protobuf.Any', anyOf(ROUTER, { dynamicStats: false, strictCheckHeaders: ['a', 'b'] }));
    const kept = lasting(anyOf(ROUTER, { dynamicStats: false, strictCheckHeaders: ['a', 'b'] }));
    const filter = lasting({ name: 'router', typedConfig: kept });
    const expected = encodeJson(LISTENER, {
      filterChains: [{ filters: [{ name: 'router', typedConfig: { ...kept } }] }, {}],
    });
    for (let round = 0; round < 3; round++) {
      expect(encode('google.protobuf.Any', kept)).toEqual(plain);
      expect(encodeJson(LISTENER, { filterChains: [{ filters: [filter] }, {}] })).toEqual(expected);
    }
  });

  it('look like what they are made from', () => {
    const marked = lasting(tracing);
    expect(marked).toEqual(tracing);
    expect(JSON.stringify(marked)).toBe(JSON.stringify(tracing));
    expect(Object.keys(marked)).toEqual(['provider']);
    expect({ ...marked }).toEqual(tracing);
  });

  it('keep nothing of a writing that failed', () => {
    const bad = lasting({ name: 'c', type: 1.5 });
    expect(failure(CLUSTER, bad)).toBe(failure(CLUSTER, { name: 'c', type: 1.5 }));
    expect(failure(CLUSTER, bad)).toContain('type | a member of');
  });
});
