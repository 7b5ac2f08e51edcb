import { describe, expect, it } from 'vitest';
import { decodeJson, decodeShallow, Encoded, encodeJson, openAny } from '../../src/codec/index.ts';
import { CodecError } from '../../src/codec/index.ts';

const LISTENER = 'envoy.config.listener.v3.Listener';
const FILTER = 'envoy.config.listener.v3.Filter';
const TCP = 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';

const listener = {
  name: 'l',
  address: { socketAddress: { address: '127.0.0.1', portValue: 80 } },
  perConnectionBufferLimitBytes: 7,
  trafficDirection: 'INBOUND',
  listenerFiltersTimeout: '1.500s',
  metadata: { filterMetadata: { a: { b: [1, null] } } },
  filterChains: [{ name: 'a', filters: [{ name: 'tcp', typedConfig: { '@type': TCP, cluster: 'c' } }] }, { name: 'b' }],
};

describe('decodeShallow', () => {
  const bytes = encodeJson(LISTENER, listener);
  const shallow = decodeShallow(LISTENER, bytes);

  it('reads scalars, enums, durations and wrappers, and leaves messages as they are', () => {
    expect(shallow).toMatchObject({
      name: 'l',
      perConnectionBufferLimitBytes: 7,
      trafficDirection: 'INBOUND',
      listenerFiltersTimeout: '1.500s',
    });
    expect(shallow['address']).toBeInstanceOf(Encoded);
    expect((shallow['filterChains'] as readonly unknown[]).map((chain) => chain instanceof Encoded)).toEqual([
      true,
      true,
    ]);
  });

  it('encodes to the same bytes again', () => {
    expect(Buffer.from(encodeJson(LISTENER, shallow))).toEqual(Buffer.from(bytes));
    const changed = encodeJson(LISTENER, { ...shallow, name: 'm' });
    expect(decodeJson(LISTENER, changed)).toEqual({ ...(decodeJson(LISTENER, bytes) as object), name: 'm' });
  });

  it('joins the parts of a message that comes in several', () => {
    const part = (address: object): Uint8Array => encodeJson(LISTENER, { address: { socketAddress: address } });
    const both = new Uint8Array([...part({ address: '127.0.0.1' }), ...part({ portValue: 80 })]);
    expect(decodeJson(LISTENER, encodeJson(LISTENER, decodeShallow(LISTENER, both)))).toEqual({
      address: { socketAddress: { address: '127.0.0.1', portValue: 80 } },
    });
  });

  it('refuses what has no fields, and bytes that are cut off', () => {
    expect(() => decodeShallow('google.protobuf.Duration', bytes)).toThrow(CodecError);
    expect(() => decodeShallow('no.such.Type', bytes)).toThrow(CodecError);
    expect(() => decodeShallow(LISTENER, bytes.subarray(0, bytes.length - 1))).toThrow(CodecError);
  });
});

describe('openAny', () => {
  const filter = decodeShallow(FILTER, encodeJson(FILTER, listener.filterChains[0]?.filters?.[0]));

  it('reads what is packed, one level deep', () => {
    expect(openAny(filter['typedConfig'])).toEqual({ '@type': TCP, cluster: 'c' });
    expect(encodeJson(FILTER, { ...filter, typedConfig: openAny(filter['typedConfig']) })).toEqual(
      encodeJson(FILTER, filter),
    );
  });

  it('leaves types that nobody knows, and those with a form of their own, as they are', () => {
    const any = (value: object): Encoded => new Encoded(encodeJson('google.protobuf.Any', value));
    const text = { '@type': 'type.googleapis.com/google.protobuf.StringValue', value: 'x' };
    expect(openAny(any(text))).toEqual(text);
    const unknown = { '@type': 'type.googleapis.com/no.such.Type', value: 'AAE=' };
    expect(openAny(any(unknown))).toEqual(unknown);
    expect(openAny(undefined)).toBeUndefined();
  });
});
