// When a replica counts how far objects have come: after what may change that, and not after each endpoint.
import { describe, expect, it } from 'vitest';
import { OwnReport } from '../../src/controllers/own-report.ts';
import { endpointSlice, service, virtualService } from '../support/builders.ts';
import { Lab } from '../plane/lab.ts';
import { ManualTimers } from '../xds/support.ts';
import { pass } from './support.ts';

const VS = 'VirtualService/shop/route';

const route = (timeout: string, generation: number) => ({
  ...virtualService('route', { hosts: ['web'], http: [{ route: [{ destination: { host: 'web' } }], timeout }] }),
  namespace: 'shop',
  generation,
});

const slice = (address: string) => endpointSlice('web', [address], { namespace: 'shop' });

function node(name: string) {
  const ip = `10.1.0.${name.charCodeAt(0)}`;
  return {
    id: `sidecar~${ip}~${name}.shop~shop.svc.cluster.local`,
    cluster: name,
    metadata: { NAMESPACE: 'shop', INSTANCE_IPS: ip, CLUSTER_ID: 'Kubernetes' },
  };
}

async function rig() {
  const lab = new Lab();
  const timers = new ManualTimers();
  lab.apply([service('web', { namespace: 'shop' }), slice('10.9.0.1'), route('1s', 1)]);
  await lab.settle();
  for (const name of ['a', 'b']) lab.connect(node(name));
  await lab.settle();
  const report = new OwnReport({
    ...{ plane: lab.plane, store: lab.store, timers, clock: { now: () => timers.now } },
    streams: () => Promise.resolve(lab.proxies.flatMap(({ stream }) => stream.progress() ?? [])),
    yieldLoop: () => Promise.resolve(),
  });
  /** The report, once it has waited for what moves; and how often it was counted. */
  const now = async () => {
    const asked = report.current(new AbortController().signal);
    await pass(timers, 200);
    return { route: (await asked).get(VS), counts: report.counts };
  };
  return { lab, timers, now };
}

describe('the report of a replica', () => {
  it('is counted anew when objects or proxies have changed, and not while all rests', async () => {
    const { lab, now } = await rig();
    const two = { total: 2, programmed: 2, refused: 0 };
    expect(await now()).toEqual({ route: two, counts: 1 });
    expect(await now()).toEqual({ route: two, counts: 1 });
    lab.apply([route('2s', 2)]);
    await lab.settle();
    expect(await now()).toEqual({ route: two, counts: 2 });
    const third = lab.connect(node('c'));
    await lab.settle();
    expect(await now()).toEqual({ route: { total: 3, programmed: 3, refused: 0 }, counts: 3 });
    lab.disconnect(third);
    expect(await now()).toEqual({ route: two, counts: 4 });
  });

  it('stands when endpoints have moved, and is looked at again after a while', async () => {
    const { lab, timers, now } = await rig();
    await now();
    lab.apply([slice('10.9.0.2')]);
    await lab.settle();
    expect(await now()).toMatchObject({ counts: 1 });
    await pass(timers, 30_000, 10_000);
    expect(await now()).toMatchObject({ counts: 2 });
    await pass(timers, 30_000, 10_000);
    expect(await now()).toMatchObject({ counts: 2 });
  });

  it('is counted anew after every move while something is not taken yet', async () => {
    const { lab, now } = await rig();
    await now();
    lab.apply([route('2s', 2)]);
    // Pushed, and not answered yet.
    await lab.plane.settle();
    expect(await now()).toEqual({ route: { total: 2, programmed: 0, refused: 0 }, counts: 2 });
    lab.talk();
    expect(await now()).toEqual({ route: { total: 2, programmed: 2, refused: 0 }, counts: 3 });
  });
});
