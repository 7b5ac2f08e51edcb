// Lists in Kubernetes' own encoding, recorded from an API server of version 1.34 (test/kube/typed-lists.test.ts).
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import protobuf from 'protobufjs/minimal.js';
import { describe, expect, it } from 'vitest';
import type { Kind } from '../../src/config/object.ts';
import type { Decode, KubeApi } from '../../src/sources/kube-api.ts';
import { kubernetesSource } from '../../src/sources/kubernetes.ts';
import { tableValues } from '../../src/lib/table.ts';
import { newStore, noMeter, quietLog, realTimers } from './harness.ts';
import { listReader } from '../../src/sources/kube-wire.ts';
import { frameSplitter } from '../../src/sources/kube-stream.ts';
import { type BothForms, fromJson, fromTyped, listOf, objectOf, readerOf } from './kube-forms.ts';

interface Recorded extends Omit<BothForms, 'typed'> {
  readonly typed: string;
}

const text = readFileSync(new URL('data/kube-lists.json', import.meta.url), 'utf8');
const LISTS: readonly BothForms[] = (JSON.parse(text) as readonly Recorded[]).map((list) => ({
  ...list,
  typed: Buffer.from(list.typed, 'base64'),
}));

describe('lists in the encoding of Kubernetes', () => {
  it.each(LISTS)('$kind is what it is in JSON', (list) => {
    const objects = fromTyped(list);
    expect(objects).toEqual(fromJson(list));
    expect(objects.length).toBeGreaterThan(0);
    expect(listOf(list.kind, list.typed).metadata).toMatchObject({
      resourceVersion: expect.stringMatching(/^\d+$/) as unknown,
    });
  });

  it.each(LISTS)('$kind that is cut off is an error, wherever that is', ({ kind, typed }) => {
    // What follows the list is two empty fields.
    const end = typed.length - 4;
    expect(listOf(kind, typed.subarray(0, end))).toEqual(listOf(kind, typed));
    for (let length = 0; length < end; length += 3) expect(() => listOf(kind, typed.subarray(0, length))).toThrow();
    expect(() => listOf(kind, typed.subarray(0, end - 1))).toThrow();
  });

  it('reaches the store by itself, where the server offers it', async () => {
    const kinds: readonly Kind[] = ['Pod', 'Service', 'EndpointSlice'];
    const api = recorded(kinds);
    const store = newStore();
    const source = kubernetesSource({ api, kinds, log: quietLog, meter: noMeter, timers: realTimers });
    await source.start(store.sink('kubernetes'));
    await store.ready();
    await source.stop();
    for (const list of LISTS.filter(({ kind }) => kinds.includes(kind))) {
      const stored = [...tableValues(store.state().byKind[list.kind])].map(({ name, spec }) => ({ name, spec }));
      const names = fromJson(list).map(({ name, spec }) => ({ name, spec }));
      expect(stored.sort(byName)).toEqual([...names].sort(byName));
    }
  });
});

/** A field whose value has a length. */
function sized(number: number, bytes: Uint8Array): Uint8Array {
  return protobuf.Writer.create()
    .uint32((number << 3) | 2)
    .bytes(bytes)
    .finish();
}

function envelope(raw: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from('k8s\0'), sized(1, sized(1, Buffer.from('v1'))), sized(2, raw)]);
}

function eventOf(type: string, object: Uint8Array): Buffer {
  return Buffer.concat([sized(1, Buffer.from(type)), sized(2, sized(1, envelope(object)))]);
}

function frameOf(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** The objects of a recorded list, each as it lies there. */
function itemsIn(list: Uint8Array): readonly Uint8Array[] {
  return listReader({ wire: 2, read: (reader) => reader.span() })(list).items;
}

describe('events of watches in the encoding of Kubernetes', () => {
  it.each(LISTS)('$kind is what it is in JSON, with the version to go on from', (list) => {
    const { kind, typed, json } = list;
    const events = itemsIn(typed).map((item) => readerOf(kind).event(eventOf('MODIFIED', item)));
    expect(events.map(({ object }) => objectOf(kind, object, true))).toEqual(fromJson(list));
    const metadata = json.items.map((item) => item['metadata'] as { readonly resourceVersion: string });
    expect(events.map(({ resourceVersion }) => resourceVersion)).toEqual(metadata.map((each) => each.resourceVersion));
    expect(new Set(events.map(({ type, checked }) => `${type} ${checked}`))).toEqual(new Set(['MODIFIED true']));
  });

  it('are errors where the server says so', () => {
    const gone = Buffer.concat([sized(3, Buffer.from('too old resource version')), Buffer.from([6 << 3, 0x9a, 0x03])]);
    expect(readerOf('Pod').event(eventOf('ERROR', gone))).toMatchObject({
      ...{ type: 'ERROR', object: { code: 410, message: 'too old resource version' } },
    });
  });

  it('that are cut off are errors', () => {
    const [item = Buffer.alloc(0)] = itemsIn(LISTS.find(({ kind }) => kind === 'Pod')?.typed ?? Buffer.alloc(0));
    const whole = eventOf('ADDED', item);
    for (let length = 0; length < whole.length; length += 3)
      expect(() => readerOf('Pod').event(whole.subarray(0, length))).toThrow();
  });

  it('come out the same however they are cut on the way', () => {
    const frames = LISTS.flatMap(({ typed }) => itemsIn(typed)).map((item, i) => frameOf(eventOf(`E${i}`, item)));
    const all = Buffer.concat([...frames, frameOf(Buffer.alloc(0))]);
    const whole = frameSplitter((bytes) => Buffer.from(bytes).toString('hex'))(all);
    expect(whole).toHaveLength(frames.length + 1);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: all.length }), { maxLength: 30 }), (cuts) => {
        const split = frameSplitter((bytes) => Buffer.from(bytes).toString('hex'));
        const ends = [...cuts].sort((a, b) => a - b);
        const seen = [...ends, all.length].flatMap((end, i) => split(all.subarray(ends[i - 1] ?? 0, end)));
        expect(seen).toEqual(whole);
      }),
    );
  });

  it('are no events where a length can be none', () => {
    expect(() => frameSplitter(() => undefined)(Buffer.from([0xff, 0xff, 0xff, 0xff]))).toThrow('4294967295 bytes');
  });
});

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}

/** A server that has no JSON. */
function recorded(kinds: readonly Kind[]): KubeApi {
  const groups = { '/apis/discovery.k8s.io': { versions: [{ version: 'v1' }] } };
  const resources = { '/apis/discovery.k8s.io/v1': { resources: [{ name: 'endpointslices' }] } };
  const discovery: Readonly<Record<string, unknown>> = { ...groups, ...resources };
  return {
    get: async (path, _query, _signal, decode?: Decode) => {
      const list = LISTS.find(({ kind }) => kinds.includes(kind) && path.endsWith(`/${kind.toLowerCase()}s`));
      return list === undefined ? discovery[path] : decode?.(list.typed);
    },
    follow: (_path, _query, signal) =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
    send: () => Promise.reject(new Error('nothing is written')),
  };
}
