import { describe, expect, it } from 'vitest';
import { CodecError, decodeJson, encodeJson } from '../../src/codec/index.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const NODE = 'envoy.config.core.v3.Node';

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

describe('decode', () => {
  it('leaves out scalars that are at their default on the wire', () => {
    expect(decodeJson(CLUSTER, bytes('0a00 3000'))).toEqual({});
  });

  it('keeps the last member of a oneof', () => {
    const type = encodeJson(CLUSTER, { type: 'EDS' });
    const custom = encodeJson(CLUSTER, { clusterType: { name: 'x' } });
    expect(decodeJson(CLUSTER, Buffer.concat([type, custom]))).toEqual({ clusterType: { name: 'x' } });
    expect(decodeJson(CLUSTER, Buffer.concat([custom, type]))).toEqual({ type: 'EDS' });
  });

  it('joins a message that comes in parts', () => {
    const first = encodeJson(NODE, { locality: { region: 'r' }, metadata: { a: 1 }, extensions: [{ name: 'x' }] });
    const second = encodeJson(NODE, { locality: { zone: 'z' }, metadata: { b: 2 }, extensions: [{ name: 'y' }] });
    expect(decodeJson(NODE, Buffer.concat([first, second]))).toEqual({
      locality: { region: 'r', zone: 'z' },
      metadata: { a: 1, b: 2 },
      extensions: [{ name: 'x' }, { name: 'y' }],
    });
  });

  it('passes over unknown fields of every wire type and fields of an unexpected one', () => {
    const unknown = 'f83f01 f93f0000000000000000 fa3f0161 fd3f00000000 fb3f 0801 fc3f';
    expect(decodeJson(CLUSTER, bytes(`${unknown} 0a0161 0805`))).toEqual({ name: 'a' });
  });

  it('reads repeated scalars packed or not', () => {
    const type = 'envoy.config.core.v3.ProxyProtocolPassThroughTLVs';
    expect(decodeJson(type, bytes('1201 01 10 02 1202 8001'))).toEqual({ tlvType: [1, 2, 128] });
  });

  it('gives an Any of an unknown type as its bytes, which encode takes back', () => {
    const any = bytes('0a05 612f622e43 1202 0801');
    const json = decodeJson('google.protobuf.Any', any);
    expect(json).toEqual({ '@type': 'a/b.C', value: 'CAE=' });
    expect(encodeJson('google.protobuf.Any', json)).toEqual(any);
  });

  it('gives unknown enum members by number', () => {
    expect(decodeJson(CLUSTER, bytes('3063'))).toEqual({ lbPolicy: 99 });
    expect(encodeJson(CLUSTER, { lbPolicy: 99 })).toEqual(bytes('3063'));
  });

  it('gives floats as the shortest decimal', () => {
    expect(decodeJson('google.protobuf.FloatValue', encodeJson('google.protobuf.FloatValue', 0.1))).toBe(0.1);
  });

  it('keeps a map key that objects treat specially', () => {
    const type = 'google.protobuf.Struct';
    const json = JSON.parse('{"__proto__": {"x": 1}}') as unknown;
    const decoded = decodeJson(type, encodeJson(type, json));
    expect(JSON.stringify(decoded)).toBe('{"__proto__":{"x":1}}');
    expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype);
  });
});

describe('malformed bytes', () => {
  it.each([
    ['a cut-off string', CLUSTER, '0a05 6161'],
    ['a cut-off message', CLUSTER, '1a05 0a'],
    ['a string that runs past its message', CLUSTER, '1a02 1205 6161616161'],
    ['a varint without end', CLUSTER, '30 ffffffffffffffffffff01'],
    ['a varint cut off', CLUSTER, '30 ff'],
    ['field number 0', CLUSTER, '0001'],
    ['wire type 7', CLUSTER, 'ff3f'],
    ['a group without end', CLUSTER, 'fb3f'],
    ['the end of another group', CLUSTER, 'fb3f f43f'],
    ['an end without a group', CLUSTER, 'fc3f'],
    ['a duration out of range', CLUSTER, '2208 08ffffffffffffff7f'],
    ['a struct entry past its end', 'google.protobuf.Struct', '0a03 0a0561 6161'],
  ])('%s is a CodecError', (_, type, hex) => {
    expect(() => decodeJson(type, bytes(hex))).toThrow(CodecError);
  });

  it('is located', () => {
    const damaged = encodeJson(CLUSTER, {
      loadAssignment: { endpoints: [{}, { lbEndpoints: [{ endpointName: 'abc' }] }] },
    });
    damaged[damaged.length - 4] = 9;
    expect(() => decodeJson(CLUSTER, damaged)).toThrow('loadAssignment.endpoints[1].lbEndpoints[0].endpointName');
  });

  it('cannot nest without end', () => {
    let value: Uint8Array = bytes('');
    for (let depth = 0; depth < 500; depth++) {
      const list = Buffer.concat([bytes('0a'), varint(value.length), value]);
      value = Buffer.concat([bytes('32'), varint(list.length), list]);
    }
    expect(() => decodeJson('google.protobuf.Value', value)).toThrow('nested');
  });
});

function varint(value: number): Uint8Array {
  return value < 128 ? new Uint8Array([value]) : new Uint8Array([(value & 127) | 128, value >> 7]);
}
