import { describe, expect, it } from 'vitest';
import { accessReviewer } from '../../src/controllers/access-review.ts';
import { ROOT_SECRET, secretRootStore } from '../../src/controllers/root-secret.ts';
import { tokenReviewer } from '../../src/controllers/token-review.ts';
import { openRoot, refreshRoot } from '../../src/ca/self-signed.ts';
import { quietLog } from '../sources/harness.ts';
import { FakeKube } from '../support/fake-kube.ts';
import { pass, rigOf, settle } from './support.ts';

const AUDIENCES = ['istio-ca'];
const SECRET = `/api/v1/namespaces/istio-system/secrets/${ROOT_SECRET}`;

describe('review of tokens', () => {
  const status = (more: object = {}) => ({
    authenticated: true,
    audiences: AUDIENCES,
    user: {
      username: 'system:serviceaccount:shop:web',
      groups: ['system:serviceaccounts'],
      extra: { 'authentication.kubernetes.io/pod-name': ['web-0'] },
    },
    ...more,
  });
  const start = (answer: () => unknown) => {
    const rig = rigOf();
    let asked = 0;
    rig.kube.answers.set('/tokenreviews', () => {
      asked++;
      return { status: answer() };
    });
    const review = tokenReviewer({ ...rig.ports, clusterId: 'east', maxRemembered: 3 });
    return { ...rig, review, asked: () => asked };
  };

  it('gives account and pod, and asks once for a minute', async () => {
    const { review, asked, timers } = start(status);
    const both = await Promise.all([review('east', 'T', AUDIENCES), review(undefined, 'T', AUDIENCES)]);
    expect(both[0]).toMatchObject({ authenticated: true, username: 'system:serviceaccount:shop:web', pod: 'web-0' });
    expect(both[1]).toEqual(both[0]);
    expect(asked()).toBe(1);
    timers.advance(61_000);
    await review('east', 'T', AUDIENCES);
    expect(asked()).toBe(2);
  });

  it('believes no token that is not for us, though the server finds it valid', async () => {
    for (const audiences of [['https://kubernetes.default.svc'], undefined]) {
      const { review } = start(() => status({ audiences }));
      expect(await review('east', 'T', AUDIENCES)).toMatchObject({ authenticated: false });
    }
  });

  it('remembers refusals for a short while, and failures not at all', async () => {
    const { review, asked, timers, kube } = start(() => ({ authenticated: false, error: 'expired' }));
    expect(await review('east', 'T', AUDIENCES)).toMatchObject({ authenticated: false, error: 'expired' });
    await review('east', 'T', AUDIENCES);
    expect(asked()).toBe(1);
    timers.advance(6_000);
    await review('east', 'T', AUDIENCES);
    expect(asked()).toBe(2);
    kube.down = true;
    await expect(review('east', 'other', AUDIENCES)).rejects.toThrow('no answer');
    kube.down = false;
    expect(await review('east', 'other', AUDIENCES)).toMatchObject({ authenticated: false });
  });

  it('believes whom it knew while the API server is away, until the token runs out', async () => {
    const { review, asked, timers, kube } = start(status);
    const token = (exp: number) => `e30.${Buffer.from(JSON.stringify({ exp })).toString('base64url')}.sig`;
    const known = token(timers.now / 1000 + 600);
    await review('east', known, AUDIENCES);
    kube.down = true;
    for (let minute = 0; minute < 9; minute++) {
      timers.advance(61_000);
      expect(await review('east', known, AUDIENCES)).toMatchObject({ authenticated: true, pod: 'web-0' });
    }
    await expect(review('east', token(timers.now / 1000 + 600), AUDIENCES)).rejects.toThrow('no answer');
    timers.advance(61_000);
    await expect(review('east', known, AUDIENCES)).rejects.toThrow('no answer');
    kube.down = false;
    expect(await review('east', known, AUDIENCES)).toMatchObject({ authenticated: true });
    // What the API server says itself counts at once.
    const before = asked();
    kube.answers.set('/tokenreviews', () => ({ status: { authenticated: false, error: 'the pod is gone' } }));
    timers.advance(61_000);
    expect(await review('east', known, AUDIENCES)).toMatchObject({ authenticated: false });
    kube.down = true;
    timers.advance(61_000);
    await expect(review('east', known, AUDIENCES)).rejects.toThrow('no answer');
    expect(before).toBe(2);
  });

  it('is bounded, asks nothing about other clusters or endless texts', async () => {
    const { review, asked } = start(status);
    for (const token of ['1', '2', '3', '4']) await review('east', token, AUDIENCES);
    await review('east', '4', AUDIENCES);
    expect(asked()).toBe(4);
    await review('east', '1', AUDIENCES);
    expect(asked()).toBe(5);
    expect(await review('west', '1', AUDIENCES)).toBeUndefined();
    expect(await review('east', 'x'.repeat(20_000), AUDIENCES)).toMatchObject({ authenticated: false });
    expect(asked()).toBe(5);
  });
});

describe('review of the right to read Secrets', () => {
  it('says no until it knows, calls back, and asks again while somebody depends on it', async () => {
    const { kube, ports, timers } = rigOf();
    let allowed = true;
    const asked: unknown[] = [];
    kube.answers.set('/subjectaccessreviews', (body) => {
      asked.push(body);
      return { status: { allowed } };
    });
    const access = accessReviewer(ports);
    let changes = 0;
    const changed = (): void => void changes++;
    expect(access.mayRead('edge', 'gateway', changed)).toBe(false);
    await settle();
    expect(changes).toBe(1);
    expect(access.mayRead('edge', 'gateway', changed)).toBe(true);
    expect(asked).toMatchObject([
      {
        spec: {
          user: 'system:serviceaccount:edge:gateway',
          resourceAttributes: { namespace: 'edge', resource: 'secrets', verb: 'list' },
        },
      },
    ]);
    // Taken away: noticed within five minutes, without anybody asking.
    allowed = false;
    await pass(timers, 301_000, 10_000);
    expect(changes).toBe(2);
    expect(access.mayRead('edge', 'gateway', changed)).toBe(false);
    // An outage changes nothing.
    allowed = true;
    await pass(timers, 61_000, 10_000);
    expect(access.mayRead('edge', 'gateway', changed)).toBe(true);
    kube.down = true;
    await pass(timers, 700_000, 10_000);
    expect(access.mayRead('edge', 'gateway', changed)).toBe(true);
    kube.down = false;
    access.leave(changed);
    const before = asked.length;
    await pass(timers, 700_000, 10_000);
    expect(asked).toHaveLength(before);
    expect(timers.pending).toBe(0);
  });
});

describe('the root in a Secret', () => {
  const policy = { organization: 'cluster.local', key: { kind: 'ecdsa' }, lifetimeDays: 10 } as const;
  const store = (kube: FakeKube) =>
    secretRootStore({ api: kube, namespace: 'istio-system', timers: rigOf().timers, log: quietLog });

  it('is one for all replicas that start at once', async () => {
    const kube = new FakeKube();
    const roots = await Promise.all(Array.from({ length: 5 }, () => openRoot(store(kube), policy, Date.now())));
    expect(new Set(roots.map(({ certificate }) => certificate)).size).toBe(1);
    expect(kube.read(SECRET)).toMatchObject({ type: 'istio.io/ca-root' });
    expect(await store(kube).load()).toEqual(roots[0]);
  });

  it('is renewed by one, and another key that was put there meanwhile stays', async () => {
    const kube = new FakeKube();
    const first = await openRoot(store(kube), policy, Date.now());
    const late = Date.now() + 9 * 24 * 3600_000;
    const renewed = await Promise.all([0, 1, 2].map(() => refreshRoot(store(kube), policy, late)));
    const kept = await store(kube).load();
    expect(kept?.key).toBe(first.key);
    expect(kept?.certificate).not.toBe(first.certificate);
    expect(renewed.some((root) => root?.certificate === kept?.certificate)).toBe(true);
    const other = await openRoot(store(new FakeKube()), policy, Date.now());
    const raw = kube.read(SECRET);
    const data = { 'ca-cert.pem': btoa(other.certificate), 'ca-key.pem': btoa(other.key) };
    kube.put(SECRET, { ...raw, metadata: { name: ROOT_SECRET }, data });
    await store(kube).replace(first);
    expect((await store(kube).load())?.key).toBe(other.key);
  });

  it('says what is missing in a damaged one', async () => {
    const kube = new FakeKube();
    kube.put(SECRET, { metadata: { name: ROOT_SECRET }, data: { 'ca-cert.pem': 'eA==' } });
    await expect(store(kube).load()).rejects.toThrow('istio-system/istio-ca-secret lacks ca-cert.pem or ca-key.pem');
  });
});
