import { describe, expect, it } from 'vitest';
import { Election, ELECTION_TIMES } from '../../src/controllers/lease.ts';
import { pass, type Rig, rigOf, settle } from './support.ts';

const LEASE = '/apis/coordination.k8s.io/v1/namespaces/system/leases/work';

interface Racer {
  readonly election: Election;
  /** How often it came to lead. */
  readonly terms: () => number;
  readonly leads: () => boolean;
}

function racer({ ports }: Rig, identity: string): Racer {
  let terms = 0;
  let leads = false;
  const election = new Election({
    ...{ ...ports, namespace: 'system', name: 'work', identity },
    lead: (signal) => {
      terms++;
      leads = true;
      signal.addEventListener('abort', () => {
        leads = false;
      });
    },
  });
  return { election, terms: () => terms, leads: () => leads };
}

describe('leader election', () => {
  it('has one leader of several, which keeps the lease', async () => {
    const rig = rigOf();
    const racers = ['a', 'b', 'c'].map((identity) => racer(rig, identity));
    for (const { election } of racers) election.start();
    await pass(rig.timers, 60_000);
    expect(racers.map(({ terms }) => terms()).sort()).toEqual([0, 0, 1]);
    expect(racers.filter(({ leads }) => leads())).toHaveLength(1);
    expect(rig.kube.read(LEASE)?.['spec']).toMatchObject({ leaseTransitions: 0, leaseDurationSeconds: 9 });
    for (const { election } of racers) await election.stop();
  });

  it('hands over at once when the leader stops', async () => {
    const rig = rigOf();
    const [first, second] = [racer(rig, 'a'), racer(rig, 'b')];
    first.election.start();
    await settle();
    second.election.start();
    await pass(rig.timers, 3_000);
    await first.election.stop();
    expect([first.leads(), second.leads()]).toEqual([false, false]);
    // One attempt later, though the record says that it is good for a second more.
    await pass(rig.timers, ELECTION_TIMES.retryMs + 1_000);
    expect([first.leads(), second.leads()]).toEqual([false, true]);
    expect(rig.kube.read(LEASE)?.['spec']).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
    await second.election.stop();
  });

  it('hands over within 15 s when the leader vanishes', async () => {
    const rig = rigOf();
    // A leader that was killed is a record that nobody renews.
    const renewTime = new Date(rig.timers.now + 3600_000).toISOString();
    const spec = { holderIdentity: 'dead', leaseDurationSeconds: 9, renewTime, leaseTransitions: 4 };
    rig.kube.put(LEASE, { metadata: { name: 'work' }, spec });
    const next = racer(rig, 'b');
    next.election.start();
    await pass(rig.timers, 8_000);
    expect(next.leads()).toBe(false);
    await pass(rig.timers, 6_000);
    expect(next.leads()).toBe(true);
    expect(rig.kube.read(LEASE)?.['spec']).toMatchObject({ leaseTransitions: 5 });
    await next.election.stop();
  });

  it('never has two leaders, whoever can not reach the server', async () => {
    const rig = rigOf();
    const cut = new Set<string>();
    const racers = ['a', 'b', 'c'].map((identity) => {
      const reached = { ...rig, ports: { ...rig.ports, api: cutOff(rig, () => cut.has(identity)) } };
      return racer(reached, identity);
    });
    for (const { election } of racers) election.start();
    let changes = 0;
    for (let round = 0; round < 12; round++) {
      const leader = racers.findIndex(({ leads }) => leads());
      cut.clear();
      if (leader >= 0 && round % 2 === 0) cut.add(['a', 'b', 'c'][leader] ?? '');
      for (let step = 0; step < 150; step++) {
        await pass(rig.timers, 100);
        const leaders = racers.filter(({ leads }) => leads()).length;
        expect(leaders).toBeLessThanOrEqual(1);
      }
      if (racers.findIndex(({ leads }) => leads()) !== leader) changes++;
    }
    expect(changes).toBeGreaterThan(4);
    for (const { election } of racers) await election.stop();
  });
});

function cutOff({ kube }: Rig, isCut: () => boolean): Rig['ports']['api'] {
  const reach = async (): Promise<void> => {
    if (isCut()) throw new Error('unreachable');
  };
  return {
    get: async (path, query, signal) => reach().then(() => kube.get(path, query, signal)),
    follow: async (path, query, signal, onLines) => reach().then(() => kube.follow(path, query, signal, onLines)),
    send: async (...args) => reach().then(() => kube.send(...args)),
  };
}
