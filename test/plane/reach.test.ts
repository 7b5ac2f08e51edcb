// How many proxies have taken an object: counted from what streams hold, without a network.
import { describe, expect, it } from 'vitest';
import { finish } from '../../src/lib/steps.ts';
import { reachOf, type Reach } from '../../src/plane/reach.ts';
import { service, serviceEntry, sidecar, virtualService } from '../support/builders.ts';
import { Lab } from './lab.ts';

const VS = 'VirtualService/shop/route';

function node(name: string, namespace: string) {
  const ip = `10.1.0.${name.charCodeAt(0)}`;
  return {
    id: `sidecar~${ip}~${name}.${namespace}~${namespace}.svc.cluster.local`,
    cluster: name,
    metadata: { NAMESPACE: namespace, INSTANCE_IPS: ip, CLUSTER_ID: 'Kubernetes' },
  };
}

const route = (weight: number, generation: number) => ({
  ...virtualService('route', {
    hosts: ['web'],
    http: [{ route: [{ destination: { host: 'web' } }], timeout: `${weight}s` }],
  }),
  namespace: 'shop',
  generation,
});

function reachIn(lab: Lab): ReadonlyMap<string, Reach> {
  return finish(
    reachOf({
      sessions: lab.plane.sessions,
      streams: lab.proxies.flatMap(({ stream }) => stream.status() ?? []),
      refusals: lab.plane.nacks.refusals(),
      generation: (key) => {
        const [kind, namespace = '', name = ''] = key.split('/');
        return lab.store.generation({ kind: kind as 'Sidecar', namespace, name });
      },
    }),
  );
}

async function labOf(): Promise<Lab> {
  const lab = new Lab();
  lab.apply([
    service('web', { namespace: 'shop' }),
    route(1, 1),
    serviceEntry('ext', { hosts: ['ext.example.com'], resolution: 'DNS', ports: [{ number: 80, name: 'http' }] }),
    sidecar('narrow', { egress: [{ hosts: ['./*'] }] }, { namespace: 'lonely' }),
  ]);
  await lab.settle();
  for (const name of ['a', 'b']) lab.connect(node(name, 'shop'));
  lab.connect(node('c', 'lonely'));
  await lab.settle();
  return lab;
}

describe('how far an object has come', () => {
  it('counts those that it shapes, and those that have taken all of it', async () => {
    const lab = await labOf();
    const reach = reachIn(lab);
    expect(reach.get(VS)).toEqual({ total: 2, programmed: 2, refused: 0 });
    // Its Sidecar leaves everything else out for the third.
    expect(reach.get('Sidecar/lonely/narrow')).toEqual({ total: 1, programmed: 1, refused: 0 });
    expect([...reach.keys()].filter((key) => key.startsWith('Service/'))).toEqual([]);
  });

  it('is less while a change is under way', async () => {
    const lab = await labOf();
    lab.apply([route(2, 2)]);
    expect(reachIn(lab).get(VS)).toEqual({ total: 2, programmed: 0, refused: 0 });
    await lab.plane.settle();
    expect(reachIn(lab).get(VS)).toEqual({ total: 2, programmed: 0, refused: 0 });
    lab.talk();
    expect(reachIn(lab).get(VS)).toEqual({ total: 2, programmed: 2, refused: 0 });
  });

  it('is whole for a proxy that comes back and is sent nothing', async () => {
    const lab = await labOf();
    const [first] = lab.proxies;
    first?.reset();
    first?.reconnect();
    await lab.settle();
    expect(first?.received.resources).toBe(0);
    expect(reachIn(lab).get(VS)).toEqual({ total: 2, programmed: 2, refused: 0 });
  });

  it('leaves out those that refuse it, for what they refuse alone', async () => {
    const lab = await labOf();
    const [first] = lab.proxies;
    if (first === undefined) throw new Error('no proxy');
    const session = lab.sessionOf(first);
    const view = session.view('type.googleapis.com/envoy.config.route.v3.RouteConfiguration');
    const resources =
      view?.parts.flatMap((part) => part.buckets.flatMap((bucket) => [...bucket.values()].flat())) ?? [];
    lab.plane.nacks.record(
      session,
      'no',
      resources.filter(({ origins }) => origins.some(({ name }) => name === 'route')),
    );
    expect(reachIn(lab).get(VS)).toEqual({ total: 2, programmed: 1, refused: 1 });
  });
});
