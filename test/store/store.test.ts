import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ConfigObject, Finding, ObjectEvent } from '../../src/config/object.ts';
import type { Meter } from '../../src/lib/ports.ts';
import { tableValues } from '../../src/lib/table.ts';
import { objectIn, type StoreState } from '../../src/store/state.ts';
import { createStore, type Store } from '../../src/store/store.ts';
import { quietLog } from '../sources/harness.ts';

interface Spec {
  readonly value: number;
  readonly nested?: { readonly list: readonly number[] };
}

function object(name: string, value: number, more: Partial<ConfigObject<Spec>> = {}): ConfigObject<Spec> {
  return {
    kind: 'Sidecar',
    namespace: 'ns',
    name,
    apiVersion: 'networking.istio.io/v1',
    labels: {},
    annotations: {},
    created: 0,
    generation: 1,
    spec: { value, nested: { list: [1, 2] } },
    ...more,
  };
}

const upsert = (each: ConfigObject<Spec>): ObjectEvent => ({ kind: 'upsert', object: each });
const refOf = (name: string) => ({ kind: 'Sidecar', namespace: 'ns', name }) as const;

/** Negative values are errors, values above 100 are odd. */
function judge(each: ConfigObject): readonly Finding[] {
  const { value } = each.spec as Spec;
  const finding = (severity: Finding['severity']): Finding => ({
    severity,
    code: 'IST0106',
    ref: refOf(each.name),
    path: 'spec.value',
    message: `${value}`,
  });
  return value < 0 ? [finding('error')] : value > 100 ? [finding('warning')] : [];
}

interface Counted {
  readonly store: Store;
  readonly gauges: Map<string, number>;
}

function counted(): Counted {
  const gauges = new Map<string, number>();
  const meter: Meter = {
    counter: (name) => ({
      inc: (_labels, by = 1) => void gauges.set(name, (gauges.get(name) ?? 0) + by),
    }),
    gauge: (name) => ({
      set: (value, labels) => void gauges.set([name, ...Object.values(labels ?? {})].join(' '), value),
    }),
    histogram: () => ({ observe: () => undefined }),
  };
  return { store: createStore({ validators: judge, log: quietLog, meter, freeze: true }), gauges };
}

const valueOf = (state: StoreState, name: string): number | undefined =>
  (objectIn(state, refOf(name))?.spec as Spec | undefined)?.value;

describe('admission', () => {
  it('keeps the old object when the new one is equal but for origin, generation and uid', () => {
    const { store } = counted();
    const sink = store.sink('a');
    sink.apply([upsert(object('x', 1, { origin: 'a:1' }))]);
    const before = store.state();
    sink.apply([upsert(object('x', 1, { origin: 'b:2', generation: 9, uid: 'u' }))]);
    expect(store.state()).toBe(before);
    sink.apply([upsert(object('x', 1, { labels: { a: 'b' } }))]);
    const after = store.state();
    expect(after.sequence).toBe(before.sequence + 1);
    expect(objectIn(after, refOf('x'))?.labels).toEqual({ a: 'b' });
    expect(objectIn(after, refOf('x'))?.spec).toBe(objectIn(before, refOf('x'))?.spec);
  });

  it('applies a batch as a whole and shares every untouched table', () => {
    const { store, gauges } = counted();
    const states: StoreState[] = [];
    store.onChange((state) => states.push(state));
    const sink = store.sink('a');
    sink.apply([upsert(object('x', 1)), upsert(object('y', 2)), { kind: 'delete', ref: refOf('x') }]);
    expect(states).toHaveLength(1);
    expect([valueOf(store.state(), 'x'), valueOf(store.state(), 'y')]).toEqual([undefined, 2]);
    const before = store.state();
    sink.apply([upsert(object('z', 3))]);
    expect(store.state().byKind.Pod).toBe(before.byKind.Pod);
    expect(store.state().findings).toBe(before.findings);
    expect(gauges.get('meltemi_config_objects Sidecar')).toBe(2);
    sink.apply([]);
    expect(states).toHaveLength(2);
  });

  it('freezes what it takes', () => {
    const { store } = counted();
    store.sink('a').apply([upsert(object('x', 1))]);
    const spec = objectIn(store.state(), refOf('x'))?.spec as Spec;
    expect(spec.value).toBe(1);
    expect(Object.isFrozen(spec) && Object.isFrozen(spec.nested?.list)).toBe(true);
  });
});

describe('what is refused', () => {
  it('leaves the last good version in force until a good one comes', () => {
    const { store, gauges } = counted();
    const sink = store.sink('a');
    sink.apply([upsert(object('x', 1)), upsert(object('new', -1))]);
    sink.apply([{ kind: 'upsert', object: object('x', -5, { origin: 'f:1' }), locate: (path) => `f:3:7 ${path}` }]);
    const state = store.state();
    expect([valueOf(state, 'x'), valueOf(state, 'new')]).toEqual([1, undefined]);
    expect(state.held.map(({ name }) => name)).toEqual(['new', 'x']);
    expect(state.findings.map(({ ref, origin }) => [ref?.name, origin])).toEqual([
      ['new', undefined],
      ['x', 'f:3:7 spec.value'],
    ]);
    expect(gauges.get('meltemi_config_held_objects')).toBe(2);
    expect(gauges.get('meltemi_config_rejected_total')).toBe(2);
    sink.apply([upsert(object('x', 1)), { kind: 'delete', ref: refOf('new') }]);
    expect(objectIn(store.state(), refOf('x'))).toBe(objectIn(state, refOf('x')));
    expect(store.state().findings).toEqual([]);
    expect(store.state().held).toEqual([]);
  });

  it('takes warnings along with the object', () => {
    const { store } = counted();
    const sink = store.sink('a');
    sink.apply([upsert(object('x', 101))]);
    expect(valueOf(store.state(), 'x')).toBe(101);
    const state = store.state();
    expect(state.findings).toMatchObject([{ severity: 'warning' }]);
    sink.apply([upsert(object('x', 101))]);
    expect(store.state()).toBe(state);
  });

  it('adds up what one batch says against an object, and clears it with the next good version', () => {
    const { store } = counted();
    const sink = store.sink('a');
    const invalid = (message: string): ObjectEvent => ({
      kind: 'invalid',
      ref: refOf('x'),
      finding: { severity: 'error', code: 'IST0106', ref: refOf('x'), message },
    });
    sink.apply([upsert(object('x', 1))]);
    sink.apply([invalid('one'), invalid('two')]);
    expect(store.state().findings.map(({ message }) => message)).toEqual(['one', 'two']);
    const state = store.state();
    sink.apply([invalid('one'), invalid('two')]);
    expect(store.state()).toBe(state);
    expect(valueOf(state, 'x')).toBe(1);
    sink.apply([upsert(object('x', 2))]);
    expect(store.state().findings).toEqual([]);
  });

  it('replaces the findings of a scope', () => {
    const { store } = counted();
    const sink = store.sink('a');
    const about = (message: string): Finding => ({ severity: 'error', code: 'MEL0002', message });
    sink.apply([
      { kind: 'findings', scope: 'f', findings: [about('a'), about('b')] },
      { kind: 'findings', scope: 'g', findings: [about('c')] },
    ]);
    expect(store.state().findings.map(({ message }) => message)).toEqual(['a', 'b', 'c']);
    sink.apply([{ kind: 'findings', scope: 'f', findings: [] }]);
    expect(store.state().findings.map(({ message }) => message)).toEqual(['c']);
  });

  it('a listener that throws harms nobody', () => {
    const { store } = counted();
    let heard = 0;
    store.onChange(() => {
      throw new Error('no');
    });
    const stop = store.onChange(() => heard++);
    const sink = store.sink('a');
    sink.apply([upsert(object('x', 1))]);
    stop();
    sink.apply([upsert(object('x', 2))]);
    expect([heard, valueOf(store.state(), 'x')]).toEqual([1, 2]);
  });
});

describe('several sources', () => {
  it('the earlier one wins, the later one steps in', () => {
    const { store } = counted();
    const first = store.sink('first');
    const second = store.sink('second');
    second.apply([upsert(object('x', 2, { origin: 'cluster' }))]);
    expect(valueOf(store.state(), 'x')).toBe(2);
    first.apply([upsert(object('x', 1))]);
    expect(valueOf(store.state(), 'x')).toBe(1);
    expect(store.state().findings).toMatchObject([{ code: 'MEL0012', origin: 'cluster' }]);
    second.apply([upsert(object('y', 1))]);
    first.apply([upsert(object('y', 1))]);
    expect(store.state().findings.map(({ ref }) => ref?.name)).toEqual(['x', 'y']);
    second.apply([{ kind: 'delete', ref: refOf('y') }]);
    first.apply([{ kind: 'delete', ref: refOf('x') }]);
    expect(valueOf(store.state(), 'x')).toBe(2);
    expect(store.state().findings).toEqual([]);
  });

  it('is ready when all have handed over', async () => {
    const { store } = counted();
    expect(store.synced()).toBe(false);
    const [first, second] = [store.sink('first'), store.sink('second')];
    let ready = false;
    const waiting = store.ready().then(() => {
      ready = true;
    });
    first.synced();
    await Promise.resolve();
    expect([store.synced(), ready]).toEqual([false, false]);
    second.synced();
    await waiting;
    expect([store.synced(), ready]).toEqual([true, true]);
    await store.ready();
  });
});

describe('any history', () => {
  it('ends where a store that saw only the last good versions ends, and keeps unchanged identities', () => {
    const step = fc.record({
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      value: fc.integer({ min: -2, max: 3 }),
      gone: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(fc.array(step, { maxLength: 4 }), { maxLength: 12 }), (batches) => {
        const { store } = counted();
        const sink = store.sink('s');
        const model = new Map<string, number>();
        for (const batch of batches) {
          const before = store.state();
          for (const each of batch) {
            if (each.gone) model.delete(each.name);
            else if (each.value >= 0) model.set(each.name, each.value);
          }
          sink.apply(
            batch.map((each) =>
              each.gone ? { kind: 'delete' as const, ref: refOf(each.name) } : upsert(object(each.name, each.value)),
            ),
          );
          const touched = new Set<string>(batch.map((each) => each.name));
          for (const kept of tableValues(before.byKind.Sidecar)) {
            if (!touched.has(kept.name)) expect(objectIn(store.state(), refOf(kept.name))).toBe(kept);
          }
        }
        const left = [...tableValues(store.state().byKind.Sidecar)].map((each) => [
          each.name,
          (each.spec as Spec).value,
        ]);
        expect(Object.fromEntries(left)).toEqual(Object.fromEntries(model));
      }),
    );
  });
});
