// What a client holds that rejects a response while its wishes change, or without a word about what is wrong.
import { describe, expect, it } from 'vitest';
import type { Rejection } from '../../src/xds/client-state.ts';
import type { Mode } from '../../src/xds/encode.ts';
import { CLUSTER, changeOf, ENDPOINT, Host, LISTENER, Link, names, World } from './support.ts';

/** A client that rejects what says `bad`, and says what, or not. */
function rigOf(mode: Mode, typeUrl: string, wanted: readonly string[]) {
  const world = new World().set(typeUrl, { a: '1', b: '1' });
  const link = new Link(new Host(world), mode);
  const manners = { named: true };
  link.verdict = ({ resources }): Rejection | undefined => {
    const bad = resources.filter(({ bytes }) => bytes.includes('bad')).map(({ name }) => name);
    if (bad.length === 0) return undefined;
    if (!manners.named) return { message: 'something is wrong' };
    const message = `wrong: ${bad.join(', ')}`;
    return typeUrl === ENDPOINT ? { message } : { message, bad: new Set(bad) };
  };
  link.subscribe(typeUrl, wanted);
  return { world, link, manners, change: (to: Parameters<typeof changeOf>[2]) => changeOf(world, typeUrl, to) };
}

describe('a rejected response', () => {
  it('gives nothing back that was dropped and wanted again before it was rejected', () => {
    const { link, change } = rigOf('delta', ENDPOINT, ['a', 'b']);
    link.settle();
    change({ b: 'bad' });
    link.host.run();
    link.unsubscribe(ENDPOINT, ['b']).subscribe(ENDPOINT, ['b']);
    change({ b: '1' });
    link.settle();
    expect(link.held(ENDPOINT)).toEqual({ a: '1', b: '1' });
  });

  it('leaves what one before it has brought again', () => {
    const { link, manners, change } = rigOf('delta', ENDPOINT, ['a']);
    change({ b: '1', c: 'bad' });
    link.subscribe(ENDPOINT, ['b']).subscribe(ENDPOINT, ['b', 'c']);
    manners.named = false;
    change({ b: undefined });
    link.unsubscribe(ENDPOINT, ['b']).subscribe(ENDPOINT, ['*']);
    link.settle();
    manners.named = true;
    change({ a: '2' });
    link.settle();
    expect(link.held(ENDPOINT)).toEqual({ a: '2' });
  });

  it('names what an earlier one brought that was rejected without a word', () => {
    const { link, manners, change } = rigOf('sotw', LISTENER, ['a', 'b']);
    link.settle();
    change({ a: 'bad', b: 'bad' });
    link.reconnect();
    link.unsubscribe(LISTENER, ['a']).subscribe(LISTENER, ['a']);
    manners.named = false;
    link.take();
    manners.named = true;
    link.settle();
    change({ c: '1' });
    link.subscribe(LISTENER, ['c']);
    expect(link.settle().map(names)).toEqual([['c']]);
  });

  it('that was to tell a client that comes back what is gone is followed by the next view', () => {
    const { link, manners, change } = rigOf('sotw', CLUSTER, ['a', 'b']);
    link.settle();
    change({ a: 'bad', b: undefined });
    link.reconnect();
    link.unsubscribe(CLUSTER, ['a']);
    manners.named = false;
    link.settle();
    expect(link.held(CLUSTER)).toEqual({ b: '1' });
    change({ d: '1' });
    link.settle();
    expect(link.held(CLUSTER)).toEqual({});
  });

  it('of a client that comes back with a part of one before, and without a version, does not hide what it had', () => {
    const { link, change } = rigOf('sotw', CLUSTER, []);
    change({ d: 'bad' });
    link.reconnect();
    change({ a: 'bad' });
    // It takes `a`, and rejects the whole for `d`.
    link.take();
    link.reconnect();
    link.subscribe(CLUSTER, ['a']);
    change({ a: undefined });
    link.settle();
    expect(link.held(CLUSTER)).toEqual({});
  });
});
