// Name tables are made for those who ask, and follow what changes from then on.

import { describe, expect, it } from 'vitest';
import { decode } from '../../src/codec/index.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { endpointSlice, service } from '../support/builders.ts';
import { Lab, type LabProxy } from './lab.ts';

const NODE = {
  id: 'sidecar~10.0.0.1~a.default~default.svc.cluster.local',
  metadata: { NAMESPACE: 'default', CLUSTER_ID: 'Kubernetes', DNS_CAPTURE: 'true' },
};

function hosts(proxy: LabProxy): readonly string[] {
  // Without a name of their own in the state of the world, they follow each other.
  const resource = [...proxy.held(TYPE_URL.nameTable).values()].at(-1);
  if (resource === undefined) return [];
  return Object.keys(decode('istio.networking.nds.v1.NameTable', resource.bytes).table ?? {}).sort();
}

async function asking(mode: 'delta' | 'sotw'): Promise<{ readonly lab: Lab; readonly proxy: LabProxy }> {
  const lab = new Lab();
  lab.apply([service('web', { clusterIPs: ['10.96.0.1'], selector: { app: 'web' } })]);
  await lab.settle();
  const proxy = lab.connect(NODE, mode);
  await lab.settle();
  proxy.stream.request(proxy.client.subscribe(TYPE_URL.nameTable));
  await lab.settle();
  return { lab, proxy };
}

describe.each(['delta', 'sotw'] as const)('name tables (%s)', (mode) => {
  it('are sent to whoever asks, and again when an answer changes', async () => {
    const { lab, proxy } = await asking(mode);
    expect(hosts(proxy)).toEqual(['web.default.svc.cluster.local']);
    await lab.apply([service('api', { clusterIPs: ['10.96.0.2'] })]).settle();
    expect(hosts(proxy)).toEqual(['api.default.svc.cluster.local', 'web.default.svc.cluster.local']);
  });

  it('are not sent again for endpoints that nobody answers with', async () => {
    const { lab, proxy } = await asking(mode);
    proxy.reset();
    await lab.apply([endpointSlice('web', ['10.0.0.7'])]).settle();
    expect(proxy.byType.get(TYPE_URL.nameTable)).toBeUndefined();
    expect(proxy.byType.get(TYPE_URL.endpoint)?.resources).toBeGreaterThan(0);
  });
});

describe('name tables', () => {
  it('are not made while nobody asks', async () => {
    const lab = new Lab();
    lab.apply([service('web', { clusterIPs: ['10.96.0.1'] })]);
    await lab.settle();
    const proxy = lab.connect(NODE);
    await lab.settle();
    const views = lab.sessionOf(proxy).classState?.views;
    expect(views?.tables.has(TYPE_URL.nameTable)).toBe(false);
    expect(views?.late.has(TYPE_URL.nameTable)).toBe(true);
    expect(proxy.byType.has(TYPE_URL.nameTable)).toBe(false);
  });
});
