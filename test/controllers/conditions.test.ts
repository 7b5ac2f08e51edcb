import { afterEach, describe, expect, it } from 'vitest';
import { conditionOf, sumOf } from '../../src/controllers/conditions.ts';
import { ReportWriter } from '../../src/controllers/reports.ts';
import { statusController } from '../../src/controllers/status-writer.ts';
import { addressesToWrite } from '../../src/controllers/vip-writer.ts';
import type { ConfigObject } from '../../src/config/object.ts';
import { parseDocument } from '../../src/config/parse/index.ts';
import type { ServiceEntry } from '../../src/registry/input.ts';
import { newStore } from '../sources/harness.ts';
import { pass, rigOf, settle } from './support.ts';

const REACH = { total: 3, programmed: 3, refused: 0 };
const none = { refused: undefined, rejection: undefined };
const SHOP = '/apis/networking.istio.io/v1/namespaces/shop';

const open: AbortController[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.abort();
});

function parsed(raw: object): ConfigObject {
  const [only] = parseDocument(raw, { unknownFields: 'error' });
  if (only?.kind !== 'object') throw new Error(JSON.stringify(only));
  return only.object;
}

function sidecar(generation: number, host = './*') {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name: 'x', namespace: 'shop', generation },
    spec: { egress: [{ hosts: [host] }] },
  };
}

describe('the condition of an object', () => {
  it('says how far it has come', () => {
    const text = (reach: typeof REACH | undefined) => {
      const { status, reason, message } = conditionOf({ ...none, reach });
      return `${status} ${reason}: ${message}`;
    };
    expect(text(REACH)).toBe('True Programmed: 3/3 proxies up to date');
    expect(text({ ...REACH, programmed: 2 })).toBe('False Progressing: 2/3 proxies up to date');
    expect(text(undefined)).toMatch(/^True Unused: 0\/0/);
    expect(text({ ...REACH, programmed: 2, refused: 1 })).toBe('False Rejected: 2/3 proxies up to date; 1 reject it');
  });

  it('says why an object is not in force', () => {
    const refused = { severity: 'error', code: 'IST0106', path: 'spec.hosts', message: 'is empty' } as const;
    expect(conditionOf({ ...none, reach: REACH, refused })).toMatchObject({
      status: 'False',
      reason: 'Invalid',
      message: 'spec.hosts: is empty; the last valid version stays in force',
    });
    const long = conditionOf({ ...none, reach: { ...REACH, refused: 1 }, rejection: 'x'.repeat(5000) });
    expect(long.message.length).toBe(1024);
  });

  it('adds up what several replicas know', () => {
    const sum = sumOf([new Map([['a', REACH]]), new Map([['a', { total: 1, programmed: 0, refused: 1 }]]), new Map()]);
    expect([...sum]).toEqual([['a', { total: 4, programmed: 3, refused: 1 }]]);
  });
});

describe('statuses of objects', () => {
  const start = async () => {
    const rig = rigOf();
    const store = newStore();
    const sink = store.sink('kubernetes');
    const path = `${SHOP}/sidecars/x`;
    rig.kube.put(path, sidecar(1));
    sink.apply([{ kind: 'upsert', object: parsed(sidecar(1)) }]);
    sink.synced();
    const controller = new AbortController();
    open.push(controller);
    const report = { ...rig.ports, namespace: 'istio-system', revision: 'default' };
    const replica = (name: string) => new ReportWriter({ ...report, replica: name });
    const ownership = { owner: 'own' as 'own' | 'other' | 'nobody' };
    const options = { ...report, replica: 'a', store, rejections: () => [], ownerOf: () => ownership.owner };
    statusController(options, controller.signal);
    await pass(rig.timers, 2_000);
    const status = () => rig.kube.read(path)?.['status'];
    const writes = () => rig.kube.writes.filter((write) => write.includes('/sidecars/')).length;
    return { ...rig, sink, store, replica, status, writes, path, ownership };
  };
  const reach = (total: number, programmed: number) => new Map([['Sidecar/shop/x', { total, programmed, refused: 0 }]]);
  const signal = new AbortController().signal;

  it('follow the reports of all replicas, and are written only when they say something else', async () => {
    const { replica, status, writes, timers } = await start();
    expect(status()).toMatchObject({ observedGeneration: 1, conditions: [{ type: 'Reconciled', reason: 'Unused' }] });
    const [a, b] = [replica('a'), replica('b')];
    await a.publish(reach(2, 2), signal);
    await b.publish(reach(1, 0), signal);
    await pass(timers, 10_000);
    expect(status()).toMatchObject({ conditions: [{ status: 'False', message: '2/3 proxies up to date' }] });
    await b.publish(reach(1, 1), signal);
    await pass(timers, 10_000);
    expect(status()).toMatchObject({ conditions: [{ status: 'True', message: '3/3 proxies up to date' }] });
    const before = writes();
    await pass(timers, 50_000);
    expect(writes()).toBe(before);
    // A replica that is gone for minutes counts no longer; one that lives renews its report.
    for (let minute = 0; minute < 5; minute++) {
      await a.publish(reach(2, 2), signal);
      await pass(timers, 60_000, 1_000);
    }
    expect(status()).toMatchObject({ conditions: [{ message: '2/2 proxies up to date' }] });
  });

  it('gather changes that follow each other closely', async () => {
    const { replica, writes, timers } = await start();
    const a = replica('a');
    const before = writes();
    for (let proxies = 1; proxies <= 40; proxies++) {
      await a.publish(reach(40, proxies), signal);
      await pass(timers, 500);
    }
    await pass(timers, 10_000);
    expect(writes() - before).toBeLessThanOrEqual(7);
  });

  it('carry the generation that was seen, even where it says the same, and why one is refused', async () => {
    const { sink, status, timers } = await start();
    sink.apply([{ kind: 'upsert', object: parsed(sidecar(2)) }]);
    await pass(timers, 10_000);
    expect(status()).toMatchObject({ observedGeneration: 2, conditions: [{ reason: 'Unused' }] });
    sink.apply([{ kind: 'upsert', object: parsed(sidecar(3, 'no-namespace')) }]);
    await pass(timers, 10_000);
    expect(status()).toMatchObject({ observedGeneration: 3, conditions: [{ status: 'False', reason: 'Invalid' }] });
  });

  it('of an earlier leader stand: nothing is written again, and a transition keeps its time', async () => {
    const { ports, timers, store, status, writes } = await start();
    const before = status();
    open.splice(0).forEach((each) => each.abort());
    const [count, next] = [writes(), new AbortController()];
    open.push(next);
    const options = { ...ports, namespace: 'istio-system', revision: 'default', replica: 'b', store };
    await pass(timers, 60_000, 1_000);
    statusController({ ...options, rejections: () => [], ownerOf: () => 'own' }, next.signal);
    await pass(timers, 30_000);
    expect([status(), writes()]).toEqual([before, count]);
    // Other counts, the same status: nothing has come or gone.
    const replica = new ReportWriter({ ...options, replica: 'b' });
    await replica.publish(reach(2, 2), signal);
    await pass(timers, 30_000);
    expect(writes()).toBe(count + 1);
    const [then] = (before as { conditions: { lastTransitionTime: string }[] }).conditions;
    expect(status()).toMatchObject({
      conditions: [{ reason: 'Programmed', lastTransitionTime: then?.lastTransitionTime }],
    });
  });

  it('are written four a second of what was there before, and at once of what is new', async () => {
    const rig = rigOf();
    const store = newStore();
    const sink = store.sink('kubernetes');
    const named = (name: string, host?: string) => {
      const raw = sidecar(1, host);
      return { ...raw, metadata: { ...raw.metadata, name } };
    };
    const put = (name: string, host?: string): void => {
      rig.kube.put(`${SHOP}/sidecars/${name}`, named(name, host));
      sink.apply([{ kind: 'upsert', object: parsed(named(name, host)) }]);
    };
    for (let index = 0; index < 60; index++) put(`old-${index}`);
    sink.synced();
    const controller = new AbortController();
    open.push(controller);
    const options = { ...rig.ports, namespace: 'istio-system', revision: 'default', replica: 'a', store };
    statusController({ ...options, rejections: () => [], ownerOf: () => 'own' }, controller.signal);
    await pass(rig.timers, 5_000);
    const written = (): number => rig.kube.writes.filter((write) => write.includes('/old-')).length;
    const after5 = written();
    expect(after5).toBeGreaterThan(8);
    expect(after5).toBeLessThan(25);
    put('new');
    put('old-59', 'no-namespace');
    await pass(rig.timers, 2_000);
    const reasonOf = (name: string): unknown =>
      (rig.kube.read(`${SHOP}/sidecars/${name}`)?.['status'] as { conditions: { reason: string }[] } | undefined)
        ?.conditions[0]?.reason;
    expect([reasonOf('new'), reasonOf('old-59')]).toEqual(['Unused', 'Invalid']);
    expect(written()).toBeLessThan(35);
    await pass(rig.timers, 15_000);
    expect(reasonOf('old-58')).toBe('Unused');
    // What comes again under the name of one that was there is new: it goes before what is only told of other counts.
    sink.apply([{ kind: 'delete', ref: { kind: 'Sidecar', namespace: 'shop', name: 'old-58' } }]);
    rig.kube.delete(`${SHOP}/sidecars/old-58`);
    const counts = { total: 1, programmed: 1, refused: 0 };
    const report = Array.from({ length: 57 }, (_, index) => [`Sidecar/shop/old-${index}`, counts] as const);
    await new ReportWriter(options).publish(new Map(report), signal);
    await pass(rig.timers, 12_000);
    put('old-58');
    await pass(rig.timers, 2_000);
    const pending = report.filter(([key]) => reasonOf(key.slice('Sidecar/shop/'.length)) === 'Unused').length;
    expect([reasonOf('old-58'), pending > 20]).toEqual(['Unused', true]);
  });

  it('are left to the revision that owns the object, and taken up when it is ours again', async () => {
    const { sink, kube, status, timers, writes, ownership } = await start();
    const before = writes();
    ownership.owner = 'other';
    sink.apply([{ kind: 'upsert', object: parsed(sidecar(2)) }]);
    await pass(timers, 10_000);
    // What the other has written by now must not be taken back.
    expect(writes()).toBe(before);
    ownership.owner = 'own';
    await pass(timers, 10_000);
    expect(status()).toMatchObject({ observedGeneration: 2, conditions: [{ reason: 'Unused' }] });
    // What nobody keeps up to date must not stay.
    const bodies: unknown[] = [];
    kube.onWrite = ({ path, body }) => {
      if (path.includes('/sidecars/')) bodies.push((body as { status: unknown }).status);
    };
    ownership.owner = 'nobody';
    await pass(timers, 10_000);
    expect(bodies).toEqual([{}]);
  });

  it('are taken back from an object that is another revision’s from now on, not from one that is deleted', async () => {
    const { sink, kube, path, timers, writes } = await start();
    const bodies: unknown[] = [];
    kube.onWrite = ({ path: where, body }) => {
      if (where.includes('/sidecars/')) bodies.push((body as { status: unknown }).status);
    };
    sink.apply([{ kind: 'delete', ref: { kind: 'Sidecar', namespace: 'shop', name: 'x' } }]);
    await pass(timers, 10_000);
    expect(bodies).toEqual([{}]);
    kube.delete(path);
    const before = writes();
    await pass(timers, 30_000);
    await settle();
    expect(writes()).toBe(before);
  });
});

describe('virtual addresses in the status of ServiceEntries', () => {
  const entry = (addresses: readonly object[]) =>
    parsed({
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: { name: 'ext', namespace: 'shop' },
      spec: { hosts: ['a.example.com', '*.example.com'], ports: [{ number: 80, name: 'http' }], resolution: 'DNS' },
      status: { addresses },
    }) as ServiceEntry;
  const vips = new Map([['shop/a.example.com', { v4: '240.240.0.9', v6: '2001:2::9' }]]);
  const both = [
    { host: 'a.example.com', value: '240.240.0.9' },
    { host: 'a.example.com', value: '2001:2::9' },
  ];

  it('are written where they are missing or other, and left where they are right', () => {
    expect(addressesToWrite(entry([]), vips)).toEqual(both);
    expect(addressesToWrite(entry([{ host: 'a.example.com', value: '240.240.0.8' }]), vips)).toEqual(both);
    expect(addressesToWrite(entry(both), vips)).toBeUndefined();
    expect(addressesToWrite(entry([]), new Map())).toBeUndefined();
  });
});
