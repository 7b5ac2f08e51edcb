// Lists in Kubernetes' own encoding, recorded from an API server of version 1.34 (test/kube/typed-lists.test.ts).
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Kind } from '../../src/config/object.ts';
import type { Decode, KubeApi } from '../../src/sources/kube-api.ts';
import { kubernetesSource } from '../../src/sources/kubernetes.ts';
import { tableValues } from '../../src/lib/table.ts';
import { newStore, noMeter, quietLog, realTimers } from './harness.ts';
import { type BothForms, fromJson, fromTyped, listOf } from './kube-forms.ts';

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
