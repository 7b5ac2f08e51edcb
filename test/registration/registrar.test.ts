import { afterEach, describe, expect, it } from 'vitest';
import type { ObjectEvent } from '../../src/config/object.ts';
import { memoryEntries } from '../../src/registration/memory.ts';
import { ANNOTATION, type EntryWriter, type WorkloadEntry, type WorkloadGroup } from '../../src/registration/port.ts';
import { Registrar, type RegistrarOptions } from '../../src/registration/registrar.ts';
import { manualTime, recordingLog, recordingMeter } from '../ca/support.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

const group: WorkloadGroup = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadGroup',
  namespace: 'vms',
  name: 'web',
  labels: {},
  annotations: {},
  created: 0,
  generation: 1,
  spec: {
    metadata: { labels: { app: 'web', tier: 'old' }, annotations: { note: 'n' } },
    template: { serviceAccount: 'web', ports: { http: 8080 }, labels: { app: 'x', from: 'template' } },
  },
};

const PEER = { plaintext: false, identities: ['spiffe://cluster.local/ns/vms/sa/web'] };

const node = (metadata: Readonly<Record<string, unknown>> = {}) => ({
  id: 'sidecar~10.0.0.1~vm-1.vms~vms.svc.cluster.local',
  locality: { region: 'r', zone: 'z' },
  metadata: {
    NAMESPACE: 'vms',
    AUTO_REGISTER_GROUP: 'web',
    NETWORK: 'net',
    LABELS: { tier: 'new', 'istio-locality': 'a.b' },
    PROXY_CONFIG: { readinessProbe: { httpGet: { port: 80 } } },
    ...metadata,
  },
});

function rig(options: Partial<RegistrarOptions> = {}, wrap: (writer: EntryWriter) => EntryWriter = (writer) => writer) {
  const entries = new Map<string, WorkloadEntry>();
  const groups = new Map<string, WorkloadGroup>([['vms/web', group]]);
  const memory = memoryEntries();
  const apply = (events: readonly ObjectEvent[]): void => {
    for (const event of events) {
      if (event.kind === 'upsert')
        entries.set(`${event.object.namespace}/${event.object.name}`, event.object as WorkloadEntry);
      if (event.kind === 'delete') entries.delete(`${event.ref.namespace}/${event.ref.name}`);
    }
  };
  void memory.start({ apply, synced: () => undefined });
  const time = manualTime(1_700_000_000_000);
  const meter = recordingMeter();
  const log = recordingLog();
  const start = (controller: string) => {
    const registrar = new Registrar(
      { controller, graceMs: 10_000, maxConnectionAgeMs: undefined, validateIdentity: true, ...options },
      {
        reader: {
          group: (namespace, name) => groups.get(`${namespace}/${name}`),
          entry: (namespace, name) => entries.get(`${namespace}/${name}`),
          entries: () => entries.values(),
        },
        writer: wrap(memory),
        clock: time.clock,
        timers: time.timers,
        log: log.log,
        meter: meter.meter,
      },
    );
    closers.push(() => registrar.close());
    return registrar;
  };
  const registrar = start('cp-1');
  const connect = (with_ = node(), by = registrar) => {
    const answer = by.connect(with_, PEER);
    if (answer?.kind !== 'registered') throw new Error(JSON.stringify(answer));
    return answer;
  };
  return { entries, groups, time, meter, log, registrar, connect, start, memory };
}

const settle = async () => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
};

const NAME = 'vms/web-10.0.0.1-net';

describe('a workload that registers itself', () => {
  it('becomes an entry of its group, with what its proxy says over the template', async () => {
    const { entries, connect, meter } = rig();
    connect();
    await settle();
    expect(entries.get(NAME)).toMatchObject({
      kind: 'WorkloadEntry',
      labels: { app: 'web', tier: 'new', from: 'template' },
      annotations: {
        note: 'n',
        [ANNOTATION.group]: 'web',
        [ANNOTATION.controller]: 'cp-1',
        [ANNOTATION.healthChecks]: 'true',
        [ANNOTATION.connectedAt]: expect.stringMatching(/^2023-11-14T22:13:20\.\d{9}Z$/),
      },
      spec: {
        address: '10.0.0.1',
        network: 'net',
        locality: 'r/z',
        serviceAccount: 'web',
        ports: { http: 8080 },
        labels: { app: 'web', tier: 'new', from: 'template' },
      },
    });
    expect(meter.value('auto_registration_success_total')).toBe(1);
  });

  it.each([
    [{ AUTO_REGISTER_GROUP: 'none' }, 'no-group'],
    [{ AUTO_REGISTER_GROUP: '', WORKLOAD_ENTRY: 'mine' }, 'no-entry'],
    [{ NAMESPACE: 'other', AUTO_REGISTER_GROUP: 'web' }, 'no-group'],
  ])('is refused with %j', (metadata, reason) => {
    const { registrar } = rig();
    expect(registrar.connect(node(metadata), PEER)).toMatchObject({ kind: 'refused', reason });
  });

  it('is refused without the identity that the group asks for', () => {
    const { registrar, entries } = rig();
    const other = { plaintext: false, identities: ['spiffe://cluster.local/ns/vms/sa/db'] };
    expect(registrar.connect(node(), other)).toMatchObject({ kind: 'refused', reason: 'identity' });
    // Nobody knows who it is: it is served, and nothing is written for it.
    expect(registrar.connect(node(), { plaintext: true, identities: [] })).toBeUndefined();
    expect(entries.size).toBe(0);
    expect(rig({ validateIdentity: false }).registrar.connect(node(), other)).toMatchObject({ kind: 'registered' });
  });

  it('is none of this when it does not ask for it, and keeps the end of a name that is too long', async () => {
    const { registrar, groups, entries, connect } = rig();
    expect(registrar.connect(node({ AUTO_REGISTER_GROUP: '' }), PEER)).toBeUndefined();
    const long = 'g'.repeat(300);
    groups.set(`vms/${long}`, { ...group, name: long });
    connect({ ...node({ AUTO_REGISTER_GROUP: long, INSTANCE_IPS: 'fd00::1,10.0.0.1', NETWORK: '' }) });
    await settle();
    const [name = ''] = [...entries.keys()];
    expect(name.length).toBe('vms/'.length + 253);
    expect(name.endsWith('g-fd00--1')).toBe(true);
  });

  it('is healthy when its agent says so', async () => {
    const { entries, connect } = rig();
    const { health } = connect();
    await settle();
    const condition = () => entries.get(NAME)?.status?.conditions;
    health('status 500');
    await settle();
    expect(condition()).toMatchObject([{ type: 'Healthy', status: 'False', message: 'status 500' }]);
    health(undefined);
    await settle();
    expect(condition()).toMatchObject([{ type: 'Healthy', status: 'True', message: '' }]);
  });

  it('goes a grace period after its last stream, and stays if it comes back', async () => {
    const { entries, connect, time, meter } = rig();
    const [first, second] = [connect(), connect()];
    await settle();
    first.ended();
    first.ended();
    time.advance(20_000);
    await settle();
    expect(entries.get(NAME)?.annotations).toHaveProperty([ANNOTATION.connectedAt]);
    second.ended();
    await settle();
    expect(entries.get(NAME)?.annotations).toHaveProperty([ANNOTATION.disconnectedAt]);
    time.advance(9_000);
    const third = connect();
    await settle();
    expect(entries.get(NAME)?.annotations).not.toHaveProperty([ANNOTATION.disconnectedAt]);
    time.advance(60_000);
    await settle();
    expect(entries.has(NAME)).toBe(true);
    third.ended();
    await settle();
    time.advance(10_000);
    await settle();
    expect(entries.has(NAME)).toBe(false);
    expect(meter.value('auto_registration_deletes_total')).toBe(1);
    expect(meter.value('auto_registration_updates_total')).toBeGreaterThan(0);
  });

  it('belongs to the replica with which it connected last', async () => {
    const { entries, connect, start, time } = rig();
    const old = connect();
    await settle();
    time.advance(100);
    const other = start('cp-2');
    const now = connect(node(), other);
    await settle();
    expect(entries.get(NAME)?.annotations[ANNOTATION.controller]).toBe('cp-2');
    old.health('ill');
    old.ended();
    await settle();
    time.advance(30_000);
    await settle();
    expect(entries.get(NAME)?.annotations).not.toHaveProperty([ANNOTATION.disconnectedAt]);
    expect(entries.get(NAME)?.status).toBeUndefined();
    now.ended();
    await settle();
    time.advance(10_000);
    await settle();
    expect(entries.has(NAME)).toBe(false);
  });

  it('is swept away when the replica that knew it has died', async () => {
    const { entries, connect, time, memory } = rig({ maxConnectionAgeMs: 30_000 });
    connect();
    await settle();
    const entry = entries.get(NAME);
    if (entry === undefined) throw new Error('no entry');
    const left = (name: string, annotations: Readonly<Record<string, string>>) => {
      const kept = { [ANNOTATION.group]: 'web', [ANNOTATION.controller]: 'dead', ...annotations };
      return memory.create({ ...entry, name, annotations: kept }, group);
    };
    await left('a', { [ANNOTATION.disconnectedAt]: new Date(time.clock.now()).toISOString() });
    await left('b', { [ANNOTATION.connectedAt]: new Date(time.clock.now()).toISOString() });
    await left('c', { [ANNOTATION.connectedAt]: new Date(time.clock.now() + 90_000).toISOString() });
    time.advance(100_000);
    for (let step = 0; step < 6; step++) {
      await settle();
      time.advance(50);
    }
    expect([...entries.keys()].sort()).toEqual(['vms/c', NAME].sort());
  });

  it('is written again when somebody else was faster, and reported when it can not be', async () => {
    let failures = 2;
    const { entries, connect, time, meter } = rig({}, (writer) => ({
      ...writer,
      create: async (entry, owner) => {
        if (failures-- > 0) throw new Error('conflict');
        await writer.create(entry, owner);
      },
    }));
    connect();
    for (let step = 0; step < 3; step++) {
      await settle();
      time.advance(1000);
    }
    await settle();
    expect(entries.has(NAME)).toBe(true);
    expect(meter.value('auto_registration_errors_total')).toBe(0);
    const broken = rig({}, (writer) => ({ ...writer, create: () => Promise.reject(new Error('no access')) }));
    broken.connect();
    for (let step = 0; step < 6; step++) {
      await settle();
      broken.time.advance(2000);
    }
    expect(broken.log.text()).toContain('no access');
    expect(broken.meter.value('auto_registration_errors_total')).toBe(1);
  });
});

describe('an entry that a user wrote', () => {
  it('keeps what the user wrote when its workload goes', async () => {
    const { entries, connect, time, memory } = rig();
    const mine: WorkloadEntry = {
      ...group,
      kind: 'WorkloadEntry',
      name: 'mine',
      annotations: { [ANNOTATION.healthChecks]: 'true' },
      spec: { address: '10.0.0.9' },
      status: undefined,
    };
    await memory.create(mine, group);
    const registration = connect(node({ AUTO_REGISTER_GROUP: '', WORKLOAD_ENTRY: 'mine' }));
    await settle();
    registration.health(undefined);
    await settle();
    expect(entries.get('vms/mine')?.status?.conditions).toMatchObject([{ status: 'True' }]);
    registration.ended();
    await settle();
    time.advance(10_000);
    await settle();
    expect(entries.get('vms/mine')).toMatchObject({ spec: { address: '10.0.0.9' }, status: { conditions: [] } });
  });
});
