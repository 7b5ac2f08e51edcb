import { describe, expect, it } from 'vitest';
import type { Origin } from '../../src/ir/draft.ts';
import { smallTable } from '../../src/lib/table.ts';
import { NackLedger, type Refuser } from '../../src/plane/nacks.ts';
import { type Resource, resourceOf } from '../../src/resources/resource.ts';
import { shardKey } from '../../src/resources/view.ts';

const TYPE = 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration';

const origin = (kind: Origin['kind'], name: string, field?: string): Origin => ({
  ...{ kind, namespace: 'shop', name, generation: 1 },
  ...(field === undefined ? {} : { field }),
});

function route(name: string, text: string, origins: readonly Origin[]): Resource {
  return resourceOf(TYPE, name, new TextEncoder().encode(text), origins);
}

/** A proxy that is meant to have what its list holds. */
function proxy(id: string, wanted: Resource[]): Refuser {
  const view = () => ({
    typeUrl: TYPE,
    parts: [smallTable(wanted.map((resource) => [shardKey(resource.name), [resource]] as const))],
  });
  return { id, proxy: { instance: `${id}.shop` }, view };
}

const refs = (ledger: NackLedger) => ledger.findings().map(({ ref }) => `${ref?.kind}/${ref?.name}`);

describe('what proxies refused', () => {
  it('is blamed on policies, and on services only where there is no policy', () => {
    const ledger = new NackLedger();
    const shaped = route('80', 'a', [origin('Service', 'web'), origin('VirtualService', 'web', 'spec.http[0]')]);
    const bare = route('81', 'b', [origin('Service', 'plain')]);
    ledger.record(proxy('web-0', [shaped, bare]), 'bad\n', [shaped, bare]);
    expect(ledger.findings()).toEqual([
      expect.objectContaining({
        ...{ severity: 'error', code: 'MEL0001', path: 'spec.http[0]' },
        ref: { kind: 'VirtualService', namespace: 'shop', name: 'web' },
        message: 'proxy web-0.shop rejected 80: bad',
      }),
      expect.objectContaining({ ref: { kind: 'Service', namespace: 'shop', name: 'plain' } }),
    ]);
  });

  it('is a finding while a proxy is meant to have it, and stays one for as long as any is', () => {
    const ledger = new NackLedger();
    const bad = route('80', 'bad', [origin('VirtualService', 'web')]);
    const good = route('80', 'good', [origin('VirtualService', 'web')]);
    const lists: [Resource[], Resource[]] = [[bad], [bad]];
    const [first, second] = [proxy('a', lists[0]), proxy('b', lists[1])];
    ledger.record(first, 'no', [bad]);
    ledger.record(second, 'no', [bad]);
    expect(refs(ledger)).toEqual(['VirtualService/web']);
    lists[0][0] = good;
    expect(refs(ledger)).toEqual(['VirtualService/web']);
    ledger.forget(second);
    expect(refs(ledger)).toEqual([]);
    expect(ledger.count).toBe(2);
  });

  it('does not pile up', () => {
    const ledger = new NackLedger();
    const bad = Array.from({ length: 1500 }, (_, index) =>
      route(`${index}`, 'bad', [origin('VirtualService', `vs-${index}`)]),
    );
    const greedy = proxy('a', bad);
    for (const resource of bad) ledger.record(greedy, 'no', [resource]);
    expect(refs(ledger)).toHaveLength(1000);
    expect(refs(ledger).at(-1)).toBe('VirtualService/vs-1499');
  });
});
