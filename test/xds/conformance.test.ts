// The public xDS protocol, rule by rule, for both variants. Rules of one variant only are at the end.

import { describe, expect, it } from 'vitest';
import type { Mode } from '../../src/xds/encode.ts';
import { bytesField, stringField } from '../../src/xds/wire.ts';
import {
  CLUSTER,
  changeOf,
  ENDPOINT,
  Host,
  LISTENER,
  Link,
  MODES,
  NAME_TABLE,
  names,
  ROUTE,
  World,
} from './support.ts';

interface Setting {
  readonly mode: Mode;
  readonly world: World;
  readonly host: Host;
  readonly link: Link;
}

function setting(mode: Mode): Setting {
  const world = new World();
  const host = new Host(world);
  return { mode, world, host, link: new Link(host, mode) };
}

type Rule = readonly [string, (setting: Setting) => void];

const both: readonly Rule[] = [
  [
    'an empty first list of a wildcard type asks for everything',
    ({ world, link }) => {
      world.set(CLUSTER, { a: '1', b: '1' });
      link.subscribe(CLUSTER).settle();
      expect(link.held(CLUSTER)).toEqual({ a: '1', b: '1' });
    },
  ],
  [
    'everything is answered even when it is nothing',
    ({ link }) => {
      const [update] = link.subscribe(CLUSTER).settle();
      expect(update?.typeUrl).toBe(CLUSTER);
      expect(names(update)).toEqual([]);
    },
  ],
  [
    'an empty first list of a type with names asks for nothing',
    ({ world, link }) => {
      world.set(ENDPOINT, { a: '1' });
      expect(link.subscribe(ENDPOINT).settle()).toEqual([]);
      changeOf(world, ENDPOINT, { a: '2' });
      expect(link.settle()).toEqual([]);
    },
  ],
  [
    '* asks for everything',
    ({ world, link }) => {
      world.set(LISTENER, { a: '1' });
      link.subscribe(LISTENER, ['*']).settle();
      expect(link.held(LISTENER)).toEqual({ a: '1' });
    },
  ],
  [
    'names bring what bears them, also for types that have a wildcard',
    ({ world, link }) => {
      world.set(CLUSTER, { a: '1', b: '1' }).set(ENDPOINT, { a: '1', b: '1' });
      link.subscribe(CLUSTER, ['a']).subscribe(ENDPOINT, ['b']).settle();
      expect(link.held(CLUSTER)).toEqual({ a: '1' });
      expect(link.held(ENDPOINT)).toEqual({ b: '1' });
    },
  ],
  [
    'a change brings what changed, a removal takes away',
    ({ mode, world, link }) => {
      world.set(CLUSTER, { a: '1', b: '1', c: '1' });
      link.subscribe(CLUSTER).settle();
      changeOf(world, CLUSTER, { a: '2', b: undefined });
      const [update, ...more] = link.settle();
      expect(more).toEqual([]);
      expect(names(update)).toEqual(mode === 'delta' ? ['a'] : ['a', 'c']);
      expect(update?.removed).toEqual(mode === 'delta' ? ['b'] : []);
      expect(link.held(CLUSTER)).toEqual({ a: '2', c: '1' });
    },
  ],
  [
    'of types with names only what changed is sent, in both variants',
    ({ world, link }) => {
      world.set(ENDPOINT, { a: '1', b: '1' });
      link.subscribe(ENDPOINT, ['a', 'b']).settle();
      changeOf(world, ENDPOINT, { a: '2' });
      expect(link.settle().map(names)).toEqual([['a']]);
    },
  ],
  [
    'a change of what nobody asked for sends nothing',
    ({ world, link }) => {
      world.set(ENDPOINT, { a: '1', b: '1' });
      link.subscribe(ENDPOINT, ['a']).settle();
      changeOf(world, ENDPOINT, { b: '2', c: '1' });
      expect(link.settle()).toEqual([]);
    },
  ],
  [
    'a wake without a change sends nothing',
    ({ world, link }) => {
      world.set(CLUSTER, { a: '1' });
      link.subscribe(CLUSTER).settle();
      world.wake();
      expect(link.settle()).toEqual([]);
    },
  ],
  [
    'a change that is undone before it is sent sends nothing',
    ({ world, host, link }) => {
      world.set(CLUSTER, { a: '1' });
      link.subscribe(CLUSTER).settle();
      changeOf(world, CLUSTER, { a: '2' });
      changeOf(world, CLUSTER, { a: '1' });
      host.run();
      expect(link.settle()).toEqual([]);
    },
  ],
  [
    'a further name brings that one alone',
    ({ world, link }) => {
      world.set(ENDPOINT, { a: '1', b: '1' });
      link.subscribe(ENDPOINT, ['a']).settle();
      expect(link.subscribe(ENDPOINT, ['b']).settle().map(names)).toEqual([['b']]);
    },
  ],
  [
    'a further name is answered at once, though a response is not acknowledged',
    ({ mode, world, host, link }) => {
      world.set(ENDPOINT, { a: '1', b: '1' });
      link.subscribe(ENDPOINT, ['a']).settle();
      changeOf(world, ENDPOINT, { a: '2' });
      host.run();
      expect(link.inbox).toHaveLength(1);
      changeOf(world, ENDPOINT, { a: '3', b: '2' });
      host.run();
      expect(link.inbox).toHaveLength(1);
      link.subscribe(ENDPOINT, ['b']);
      // A state-of-the-world request counts only once the client has seen our last response, and repeats the names then.
      expect(link.inbox).toHaveLength(mode === 'delta' ? 2 : 1);
      link.settle();
      expect(link.held(ENDPOINT)).toEqual({ a: '3', b: '2' });
      expect(link.updates.map(names)).toEqual(
        mode === 'delta' ? [['a'], ['a'], ['b'], ['a']] : [['a'], ['a'], ['a', 'b']],
      );
    },
  ],
  [
    'one response at a time: what changes meanwhile is joined, the latest wins',
    ({ world, host, link }) => {
      world.set(CLUSTER, { a: '1' });
      link.subscribe(CLUSTER).settle();
      for (const content of ['2', '3', '4', '5']) {
        changeOf(world, CLUSTER, { a: content });
        host.run();
      }
      expect(link.inbox).toHaveLength(1);
      expect(link.settle()).toHaveLength(2);
      expect(link.held(CLUSTER)).toEqual({ a: '5' });
    },
  ],
  [
    'a client that does not acknowledge is sent later changes after a while, still the latest only',
    ({ world, host, link }) => {
      world.set(CLUSTER, { a: '1' });
      link.subscribe(CLUSTER);
      for (let i = 2; i < 30; i++) {
        changeOf(world, CLUSTER, { a: String(i) });
        host.run();
        host.timers.advance(1_000);
        host.run();
      }
      expect(link.inbox).toHaveLength(6);
      link.settle();
      expect(link.held(CLUSTER)).toEqual({ a: '29' });
      expect(host.timers.pending).toBe(0);
    },
  ],
  [
    'a dropped name brings nothing, now and later',
    ({ world, link }) => {
      world.set(ENDPOINT, { a: '1', b: '1' });
      link.subscribe(ENDPOINT, ['a', 'b']).settle();
      expect(link.unsubscribe(ENDPOINT, ['b']).settle()).toEqual([]);
      changeOf(world, ENDPOINT, { b: '2' });
      expect(link.settle()).toEqual([]);
    },
  ],
  [
    'a name that is dropped and asked for again is answered again',
    ({ world, link }) => {
      world.set(ENDPOINT, { a: '1', b: '1' });
      link.subscribe(ENDPOINT, ['a', 'b']).settle();
      link.unsubscribe(ENDPOINT, ['b']).settle();
      expect(link.subscribe(ENDPOINT, ['b']).settle().map(names)).toEqual([['b']]);
    },
  ],
  [
    'after all names were dropped, nothing comes; an empty list is not everything any more',
    ({ world, link }) => {
      world.set(CLUSTER, { a: '1', b: '1' });
      link.subscribe(CLUSTER, ['a']).settle();
      link.unsubscribe(CLUSTER, ['a']).settle();
      changeOf(world, CLUSTER, { a: '2', b: '2' });
      expect(link.settle()).toEqual([]);
    },
  ],
  [
    'what does not exist is served once it does',
    ({ world, link }) => {
      link.subscribe(ENDPOINT, ['a']).settle();
      expect(link.held(ENDPOINT)).toEqual({});
      changeOf(world, ENDPOINT, { a: '1' });
      link.settle();
      expect(link.held(ENDPOINT)).toEqual({ a: '1' });
    },
  ],
  [
    'a reconnecting client is sent nothing of clusters and listeners that it has',
    ({ world, link }) => {
      world.set(CLUSTER, { a: '1', b: '1' }).set(LISTENER, { l: '1' });
      link.subscribe(CLUSTER).subscribe(LISTENER).settle();
      expect(link.reconnect().settle()).toEqual([]);
      changeOf(world, CLUSTER, { a: '2' });
      link.settle();
      expect(link.held(CLUSTER)).toEqual({ a: '2', b: '1' });
    },
  ],
  [
    'a reconnecting client gets what changed meanwhile, and loses what is gone',
    ({ world, link }) => {
      world.set(CLUSTER, { a: '1', b: '1' });
      link.subscribe(CLUSTER).settle();
      world.set(CLUSTER, { a: '2', b: undefined, c: '1' });
      link.reconnect().settle();
      expect(link.held(CLUSTER)).toEqual({ a: '2', c: '1' });
    },
  ],
  [
    'a rejection is not answered until something changes',
    ({ world, link, host }) => {
      world.set(CLUSTER, { a: '1', b: '1' });
      link.subscribe(CLUSTER).settle();
      link.verdict = () => 'no';
      changeOf(world, CLUSTER, { a: 'bad' });
      expect(link.settle()).toHaveLength(1);
      for (let i = 0; i < 5; i++) {
        world.wake();
        host.timers.advance(10_000);
        expect(link.settle()).toEqual([]);
      }
      expect(link.held(CLUSTER)).toEqual({ a: '1', b: '1' });
    },
  ],
  [
    'rejected bytes are not sent again; the rest is, and the resource too once it changes',
    ({ mode, world, link }) => {
      world.set(CLUSTER, { a: '1', b: '1' });
      link.subscribe(CLUSTER).settle();
      link.verdict = (update) =>
        update.resources.some((item) => item.bytes.toString().includes('bad')) ? 'cluster a: cannot be' : undefined;
      changeOf(world, CLUSTER, { a: 'bad' });
      link.settle();
      changeOf(world, CLUSTER, { b: '2' });
      expect(link.settle().map(names)).toEqual([mode === 'delta' ? ['b'] : ['a', 'b']]);
      expect(link.held(CLUSTER)).toEqual({ a: '1', b: '2' });
      changeOf(world, CLUSTER, { a: '3' });
      link.settle();
      expect(link.held(CLUSTER)).toEqual({ a: '3', b: '2' });
    },
  ],
  [
    'a rejected resource that the client never had is left out',
    ({ world, link }) => {
      world.set(CLUSTER, { a: '1' });
      link.subscribe(CLUSTER).settle();
      link.verdict = (update) => (names(update).includes('n') ? 'Error adding cluster(s) n: x' : undefined);
      changeOf(world, CLUSTER, { n: 'bad' });
      link.settle();
      changeOf(world, CLUSTER, { b: '1' });
      link.settle();
      expect(link.held(CLUSTER)).toEqual({ a: '1', b: '1' });
    },
  ],
  [
    'one bad resource does not keep back the others of its response, where a client would let it',
    ({ world, link }) => {
      world.set(ENDPOINT, { a: '1', b: 'bad', c: '1' });
      link.verdict = (update) => (names(update).includes('b') ? 'endpoint b is wrong' : undefined);
      link.subscribe(ENDPOINT, ['a', 'b', 'c']);
      expect(link.settle().map(names)).toEqual([
        ['a', 'b', 'c'],
        ['a', 'c'],
      ]);
      expect(link.held(ENDPOINT)).toEqual({ a: '1', c: '1' });
    },
  ],
  [
    'rejections are told with their suspects',
    ({ world, link }) => {
      world.set(CLUSTER, { a: '1', ab: '1' });
      link.verdict = () => 'cluster ab: wrong';
      link.subscribe(CLUSTER).settle();
      const [session] = world.sessions;
      expect(session?.nackEvents.map((event) => event.suspects.map((item) => item.name))).toEqual([['ab']]);
      expect(link.status.types[0]?.error?.message).toBe('cluster ab: wrong');
    },
  ],
  [
    'an unknown type gets no answer, the others go on',
    ({ world, host, link }) => {
      world.set(CLUSTER, { a: '1' });
      link.subscribe('type.googleapis.com/no.such.Type').subscribe('type.googleapis.com/no.such.Type');
      link.subscribe(CLUSTER).settle();
      expect(link.held(CLUSTER)).toEqual({ a: '1' });
      expect(link.ended).toBeUndefined();
      expect(host.metrics.of('pilot_xds_unknown_types_total')).toBe(1);
    },
  ],
  [
    'other types have the wildcard of an empty first list',
    ({ world, link }) => {
      world.set(NAME_TABLE, { '': '1' });
      link.subscribe(NAME_TABLE);
      expect(link.inbox).toHaveLength(1);
    },
  ],
  [
    'endpoints of a changed cluster are sent again, after the cluster',
    ({ world, link }) => {
      world.set(CLUSTER, { a: '1', b: '1' }).set(ENDPOINT, { a: '1', b: '1' });
      link.subscribe(CLUSTER).subscribe(ENDPOINT, ['a', 'b']).settle();
      changeOf(world, CLUSTER, { a: '2' });
      const updates = link.settle();
      expect(updates.map((update) => update.typeUrl)).toEqual([CLUSTER, ENDPOINT]);
      expect(names(updates[1])).toEqual(['a']);
    },
  ],
  [
    'endpoints of a cluster that changed while the client was away are sent, in whatever order it asks',
    ({ world, link }) => {
      world.set(CLUSTER, { a: '1', b: '1' }).set(ENDPOINT, { a: '1', b: '1' });
      link.subscribe(CLUSTER).subscribe(ENDPOINT, ['a', 'b']).settle();
      for (const [content, ...asked] of [
        ['2', CLUSTER, ENDPOINT],
        ['3', ENDPOINT, CLUSTER],
      ] as const) {
        world.set(CLUSTER, { a: content });
        link.reconnect(asked);
        const order = link.settle().map((update) => [update.typeUrl, names(update).includes('a')]);
        const clusters = order.findIndex(([typeUrl]) => typeUrl === CLUSTER);
        expect(order.slice(clusters + 1)).toContainEqual([ENDPOINT, true]);
      }
    },
  ],
  [
    'a resource of the proxy alone and shared ones are one world',
    ({ world, link }) => {
      world.set(LISTENER, { a: '1' }).own(LISTENER, { inbound: '1' });
      link.subscribe(LISTENER).settle();
      expect(link.held(LISTENER)).toEqual({ a: '1', inbound: '1' });
      world.own(LISTENER, { inbound: '2' }).wake();
      link.settle();
      expect(link.held(LISTENER)).toEqual({ a: '1', inbound: '2' });
      world.own(LISTENER, { a: 'mine' }).wake();
      link.settle();
      expect(link.held(LISTENER)).toEqual({ a: 'mine' });
    },
  ],
  [
    'the status says what was sent and taken',
    ({ world, link }) => {
      world.set(CLUSTER, { a: '1' });
      link.subscribe(CLUSTER);
      expect(link.status.types[0]).toMatchObject({ typeUrl: CLUSTER, wildcard: true, unanswered: 1, acked: undefined });
      link.settle();
      const [status] = link.status.types;
      expect(status).toMatchObject({ unanswered: 0, pushes: 1 });
      expect(status?.acked?.nonce).toBe(status?.sent?.nonce);
      expect(status?.resources().map((item) => item.name)).toEqual(['a']);
    },
  ],
];

describe.each(MODES)('%s', (mode) => {
  for (const [name, check] of both) it(name, () => check(setting(mode)));
});

describe('sotw only', () => {
  it('a name that does not exist is left out', () => {
    const { world, link } = setting('sotw');
    world.set(ENDPOINT, { a: '1' });
    expect(link.subscribe(ENDPOINT, ['a', 'x']).settle().map(names)).toEqual([['a']]);
    expect(link.subscribe(ENDPOINT, ['y']).settle()).toEqual([]);
  });

  it('the version is that of the content, whoever serves it and in whatever order it came to be', () => {
    const one = setting('sotw');
    one.world.set(CLUSTER, { a: '1', b: '1' });
    const other = setting('sotw');
    other.world.set(CLUSTER, { b: '1', c: '1' }).own(CLUSTER, { a: '1' });
    other.link.subscribe(CLUSTER).settle();
    changeOf(other.world, CLUSTER, { c: undefined });
    const [update] = one.link.subscribe(CLUSTER).settle();
    expect(other.link.settle()[0]?.version).toBe(update?.version);
  });

  it('a reconnecting client is answered about endpoints and routes, whose names may be new to it', () => {
    const { world, link } = setting('sotw');
    world.set(ENDPOINT, { a: '1' }).set(ROUTE, { r: '1' });
    link.subscribe(ENDPOINT, ['a']).subscribe(ROUTE, ['r']).settle();
    expect(link.reconnect().settle().map(names)).toEqual([['a'], ['r']]);
  });

  it('an outdated nonce is ignored with its names', () => {
    const { world, host, link } = setting('sotw');
    world.set(ENDPOINT, { a: '1', b: '1' });
    link.subscribe(ENDPOINT, ['a']).settle();
    link.raw(request({ names: ['a', 'b'], nonce: 'old' }));
    expect(link.settle()).toEqual([]);
    expect(host.metrics.of('pilot_xds_expired_nonce{eds}')).toBe(1);
    link.raw(request({ names: ['a', 'b'], nonce: link.status.types[0]?.sent?.nonce ?? '' }));
    expect(link.settle().map(names)).toEqual([['b']]);
  });

  it('a client without nonces neither loops nor is forgotten', () => {
    const { world, link } = setting('sotw');
    world.set(ENDPOINT, { a: '1' });
    link.raw(request({ names: ['a'] }));
    expect(link.inbox).toHaveLength(1);
    const version = link.status.types[0]?.sent?.version ?? '';
    link.raw(request({ names: ['a'], version }));
    expect(link.inbox).toHaveLength(1);
    changeOf(world, ENDPOINT, { a: '2' });
    link.host.run();
    expect(link.inbox).toHaveLength(2);
  });

  it('a client that starts over within the stream is answered in full', () => {
    const { world, link } = setting('sotw');
    world.set(ENDPOINT, { a: '1', b: '1' });
    link.subscribe(ENDPOINT, ['a', 'b']).settle();
    link.raw(request({ names: ['a', 'b'] }));
    expect(link.settle().map(names)).toEqual([['a', 'b']]);
  });

  it('* with names, then names, then nothing', () => {
    const { world, link } = setting('sotw');
    world.set(CLUSTER, { a: '1', b: '1' });
    const ask = (list: string[]): string[][] => {
      const nonce = link.status.types[0]?.sent?.nonce ?? '';
      link.raw(request({ typeUrl: CLUSTER, names: list, nonce }));
      return link.inbox.splice(0).map((bytes) => names(link.client.receive(bytes, () => undefined).update));
    };
    link.subscribe(CLUSTER).settle();
    expect(ask(['*', 'a'])).toEqual([]);
    expect(ask(['a'])).toEqual([]);
    expect(ask([])).toEqual([]);
    changeOf(world, CLUSTER, { a: '2' });
    link.host.run();
    expect(link.inbox).toEqual([]);
    expect(ask(['b'])).toEqual([['b']]);
  });

  it('after a listener was rejected, the whole world holds its last accepted form', () => {
    const { world, link } = setting('sotw');
    world.set(LISTENER, { a: '1', b: '1' });
    link.subscribe(LISTENER).settle();
    const good = link.updates.at(-1)?.version;
    link.verdict = () => 'listener a';
    changeOf(world, LISTENER, { a: 'bad' });
    link.settle();
    link.verdict = () => undefined;
    changeOf(world, LISTENER, { b: '2' });
    link.settle();
    expect(link.held(LISTENER)).toEqual({ a: '1', b: '2' });
    changeOf(world, LISTENER, { b: '1' });
    // Exactly what it had before: the version says so.
    expect(link.settle().at(-1)?.version).toBe(good);
  });
});

describe('delta only', () => {
  it('a name that does not exist is answered as removed', () => {
    const { world, link } = setting('delta');
    world.set(ENDPOINT, { a: '1' });
    const [update] = link.subscribe(ENDPOINT, ['a', 'x']).settle();
    expect([names(update), update?.removed]).toEqual([['a'], ['x']]);
    expect(
      link
        .subscribe(ENDPOINT, ['x'])
        .settle()
        .map((next) => next.removed),
    ).toEqual([['x']]);
  });

  it('what the client has by its own words is not sent, what is gone is removed', () => {
    const { world, link } = setting('delta');
    world.set(ENDPOINT, { a: '1', b: '1', c: '1' });
    link.subscribe(ENDPOINT, ['a', 'b', 'c']).settle();
    world.set(ENDPOINT, { b: '2', c: undefined });
    const [update, ...more] = link.reconnect().settle();
    expect([names(update), update?.removed, more]).toEqual([['b'], ['c'], []]);
    expect(
      link
        .reconnect()
        .settle()
        .map((next) => next.removed),
    ).toEqual([['c']]);
    expect(link.status.types[0]).toMatchObject({ names: 3 });
  });

  it('a reconnect tells of removals under the wildcard', () => {
    const { world, link } = setting('delta');
    world.set(CLUSTER, { a: '1', b: '1' });
    link.subscribe(CLUSTER).settle();
    world.set(CLUSTER, { b: undefined });
    expect(
      link
        .reconnect()
        .settle()
        .map((update) => [names(update), update.removed]),
    ).toEqual([[[], ['b']]]);
  });

  it('what is asked for again is sent again, also when it seems to be there', () => {
    const { world, link } = setting('delta');
    world.set(ENDPOINT, { a: '1', b: '1' });
    link.subscribe(ENDPOINT, ['a', 'b']).settle();
    expect(link.subscribe(ENDPOINT, ['a']).settle().map(names)).toEqual([['a']]);
    world.set(CLUSTER, { a: '1', b: '1' }).wake();
    link.subscribe(CLUSTER, ['*']).settle();
    expect(link.subscribe(CLUSTER, ['*']).settle().map(names)[0]).toEqual(['a', 'b']);
  });

  it('endpoints of a new cluster are sent once, though others are still on their way', () => {
    const { world, link } = setting('delta');
    world.set(CLUSTER, { a: '1' }).set(ENDPOINT, { a: '1' });
    link.subscribe(CLUSTER).subscribe(ENDPOINT, ['a']).settle();
    // The client has yet to answer for these endpoints when it learns of the cluster.
    changeOf(world, ENDPOINT, { a: '2', b: '1' });
    link.host.run();
    changeOf(world, CLUSTER, { b: '1' });
    link.host.run();
    const late = link.inbox.shift() ?? Buffer.alloc(0);
    expect(link.take()?.typeUrl).toBe(CLUSTER);
    link.subscribe(ENDPOINT, ['b']);
    expect(names(link.take())).toEqual(['b']);
    link.inbox.unshift(late);
    expect(link.settle().map(names)).toEqual([['a']]);
  });

  it('endpoints that are asked for come once, with a cluster whose change waits for the pushes of others', () => {
    const { world, host, link } = setting('delta');
    world.set(CLUSTER, { a: '1' }).set(ENDPOINT, { a: '1' }).set(ROUTE, { r: '1' });
    link.subscribe(CLUSTER).subscribe(ENDPOINT, ['a']).settle();
    const other = new Link(host, 'delta', 'other').subscribe(ROUTE, ['r']);
    other.settle();
    changeOf(world, CLUSTER, { b: '1' });
    expect(link.settle().map(names)).toEqual([['b']]);
    // Another proxy has yet to answer for more than may be on its way.
    changeOf(world, ROUTE, { r: 'x'.repeat(30_000) });
    host.run();
    expect(other.inbox).toHaveLength(1);
    changeOf(world, CLUSTER, { b: '2'.repeat(20_000) });
    changeOf(world, ENDPOINT, { b: '1' });
    host.run();
    expect(link.inbox).toHaveLength(0);
    link.subscribe(ENDPOINT, ['b']);
    other.settle();
    expect(link.settle().map(({ typeUrl }) => typeUrl)).toEqual([CLUSTER, ENDPOINT]);
    expect(link.held(ENDPOINT)).toEqual({ a: '1', b: '1' });
  });

  it('names that come with an outdated nonce count', () => {
    const { world, host, link } = setting('delta');
    world.set(ENDPOINT, { a: '1', b: '1' });
    link.subscribe(ENDPOINT, ['a']).settle();
    link.raw(deltaRequest({ subscribe: ['b'], unsubscribe: ['a'], nonce: 'old' }));
    expect(link.settle().map(names)).toEqual([['b']]);
    expect(host.metrics.of('pilot_xds_expired_nonce{eds}')).toBe(1);
    changeOf(world, ENDPOINT, { a: '2' });
    expect(link.settle()).toEqual([]);
  });

  it('a phantom unsubscription does nothing', () => {
    const { world, link } = setting('delta');
    world.set(ENDPOINT, { a: '1' });
    link.subscribe(ENDPOINT, ['a']).settle();
    expect(link.unsubscribe(ENDPOINT, ['x']).settle()).toEqual([]);
    expect(link.held(ENDPOINT)).toEqual({ a: '1' });
  });

  it('a name besides * is answered, and when it is dropped the client is told what is true', () => {
    const { world, link } = setting('delta');
    world.set(CLUSTER, { a: '1', b: '1' });
    link.subscribe(CLUSTER).settle();
    expect(
      link
        .subscribe(CLUSTER, ['a', 'x'])
        .settle()
        .map((update) => [names(update), update.removed]),
    ).toEqual([[['a'], ['x']]]);
    expect(
      link
        .unsubscribe(CLUSTER, ['a', 'x'])
        .settle()
        .map((update) => [names(update), update.removed]),
    ).toEqual([[['a'], ['x']]]);
    changeOf(world, CLUSTER, { b: '2' });
    expect(link.settle().map(names)).toEqual([['b']]);
  });

  it('when * is dropped, the names remain', () => {
    const { world, link } = setting('delta');
    world.set(CLUSTER, { a: '1', b: '1' });
    link.subscribe(CLUSTER).settle();
    link.subscribe(CLUSTER, ['a']).settle();
    expect(link.unsubscribe(CLUSTER, ['*']).settle()).toEqual([]);
    changeOf(world, CLUSTER, { a: '2', b: '2' });
    expect(link.settle().map(names)).toEqual([['a']]);
    link.unsubscribe(CLUSTER, ['a']).settle();
    changeOf(world, CLUSTER, { a: '3', b: '3' });
    expect(link.settle()).toEqual([]);
  });

  it('a rejected removal does not spin, and is told again with the next change', () => {
    const { world, link } = setting('delta');
    world.set(CLUSTER, { a: '1', b: '1' });
    link.subscribe(CLUSTER).settle();
    link.verdict = () => 'no';
    changeOf(world, CLUSTER, { b: undefined });
    expect(link.settle()).toHaveLength(1);
    link.verdict = () => undefined;
    changeOf(world, CLUSTER, { a: '2' });
    expect(link.settle().map((update) => [names(update), update.removed])).toEqual([[['a'], ['b']]]);
  });

  it('resources carry their version', () => {
    const { world, link } = setting('delta');
    world.set(CLUSTER, { a: '1' });
    link.subscribe(CLUSTER).settle();
    const [part] = world.views.get(CLUSTER)?.parts ?? [];
    const [served] = [...(part?.buckets ?? [])].flatMap((bucket) => [...bucket.values()].flat());
    expect(link.client.held(CLUSTER).get('a')?.version).toBe(served?.version);
  });
});

function request(fields: { typeUrl?: string; names: string[]; nonce?: string; version?: string }): Buffer {
  return Buffer.concat([
    stringField(1, fields.version ?? ''),
    bytesField(2, stringField(1, 'proxy')),
    ...fields.names.map((name) => bytesField(3, Buffer.from(name))),
    stringField(4, fields.typeUrl ?? ENDPOINT),
    stringField(5, fields.nonce ?? ''),
  ]);
}

function deltaRequest(fields: { subscribe: string[]; unsubscribe: string[]; nonce: string }): Buffer {
  return Buffer.concat([
    stringField(2, ENDPOINT),
    ...fields.subscribe.map((name) => bytesField(3, Buffer.from(name))),
    ...fields.unsubscribe.map((name) => bytesField(4, Buffer.from(name))),
    stringField(6, fields.nonce),
  ]);
}
