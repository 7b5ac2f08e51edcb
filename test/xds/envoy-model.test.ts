// An Envoy that speaks state of the world, as far as it matters for what it holds after a reconnect: it wants endpoints for
// the clusters that it took, drops them with their clusters, and a cluster that changed is of no use until endpoints come.
// Whatever happens, in whatever order, and wherever streams break: in the end every cluster has its endpoints, and what
// nothing has happened to isn't sent again.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nodeOf, readSotwResponse, type Update } from '../../src/xds/client-state.ts';
import type { Message } from '../../src/xds/encode.ts';
import { XdsStream } from '../../src/xds/stream.ts';
import { bytesField, stringField } from '../../src/xds/wire.ts';
import { CLUSTER, contents, ENDPOINT, Host, LISTENER, ROUTE, World } from './support.ts';

const NAMES = ['a', 'b', 'c'];
const PEER = { address: 'test', plaintext: true, identities: [] };
/** envoy.config.core.v3.Node {id = 1, user_agent_name = 6} */
const NODE = Buffer.concat([nodeOf('proxy'), stringField(6, 'envoy')]);

/** A pair of types: parents are the whole world, each wants the child of its name. */
interface Pair {
  readonly parent: string;
  readonly child: string;
  /** A parent that changed waits for its child, even an unchanged one. */
  readonly warms: boolean;
}

class FakeEnvoy {
  readonly host: Host;
  readonly pair: Pair;
  readonly agent: boolean;
  stream: XdsStream | undefined;
  inbox: Buffer[] = [];
  readonly versions = new Map<string, string>();
  readonly nonces = new Map<string, string>();
  /** Content of each parent, and of each child that a parent uses; undefined while it waits. */
  readonly parents = new Map<string, string>();
  readonly children = new Map<string, string | undefined>();
  received: Update[] = [];

  constructor(host: Host, pair: Pair, agent = true) {
    this.host = host;
    this.pair = pair;
    this.agent = agent;
  }

  connect(): void {
    this.stream?.closed();
    this.nonces.clear();
    this.inbox = [];
    const inbox = this.inbox;
    const outlet = {
      write: (message: Message): boolean => inbox.push(message.bytes()) > 0,
      end: (): void => {},
      taken: (): number => 0,
    };
    this.stream = new XdsStream('sotw', PEER, outlet, this.host.context, `s${this.host.serial++}`);
    this.#ask(this.pair.parent, true);
    if (this.children.size > 0) this.#ask(this.pair.child);
  }

  #ask(typeUrl: string, first = false): void {
    const names = typeUrl === this.pair.child ? [...this.children.keys()] : [];
    this.stream?.request(
      Buffer.concat([
        stringField(1, this.versions.get(typeUrl) ?? ''),
        first ? bytesField(2, this.agent ? NODE : nodeOf('proxy')) : Buffer.alloc(0),
        ...names.map((name) => bytesField(3, Buffer.from(name))),
        stringField(4, typeUrl),
        stringField(5, this.nonces.get(typeUrl) ?? ''),
      ]),
    );
  }

  /** Takes one response. Says nothing when the stream breaks at once, or what it wants some time before what it took. */
  take(answer: 'at once' | 'slowly' | 'never' = 'at once'): boolean {
    const bytes = this.inbox.shift();
    if (bytes === undefined) return false;
    const update = readSotwResponse(bytes);
    this.received.push(update);
    this.versions.set(update.typeUrl, update.version);
    this.nonces.set(update.typeUrl, update.nonce);
    const named = update.typeUrl === this.pair.parent && this.#takeParents(contents(update.resources));
    if (update.typeUrl === this.pair.child) {
      for (const [name, content] of Object.entries(contents(update.resources))) {
        if (this.children.has(name)) this.children.set(name, content);
      }
    }
    if (answer === 'never') return true;
    // As in Envoy, the wish for children goes out before the acknowledgement of their parents.
    if (named) this.#ask(this.pair.child);
    if (answer === 'slowly') this.host.run();
    this.#ask(update.typeUrl);
    return true;
  }

  /** True when other children are wanted now. */
  #takeParents(told: Readonly<Record<string, string>>): boolean {
    let named = false;
    for (const name of this.parents.keys()) {
      if (name in told) continue;
      this.parents.delete(name);
      this.children.delete(name);
      named = true;
    }
    for (const [name, content] of Object.entries(told)) {
      if (!this.parents.has(name)) named = true;
      if (!this.parents.has(name) || (this.pair.warms && this.parents.get(name) !== content)) {
        this.children.set(name, undefined);
      }
      this.parents.set(name, content);
    }
    return named;
  }

  settle(): void {
    for (let rounds = 0; rounds < 200; rounds++) {
      this.host.run();
      if (!this.take()) return;
    }
    throw new Error('it never ends');
  }
}

const PAIRS: readonly (readonly [string, Pair])[] = [
  ['endpoints', { parent: CLUSTER, child: ENDPOINT, warms: true }],
  ['routes', { parent: LISTENER, child: ROUTE, warms: false }],
];

type Op =
  | { readonly op: 'parent' | 'child'; readonly name: string; readonly content: string | undefined }
  | { readonly op: 'take' | 'take slowly' | 'take unanswered' | 'run' | 'reconnect' | 'restart' };

const content = fc.constantFrom('1', '2', undefined);
const name = fc.constantFrom(...NAMES);
const ops: fc.Arbitrary<Op> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('parent' as const), name, content }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('child' as const), name, content: fc.constantFrom('1', '2') }) },
  { weight: 6, arbitrary: fc.constant({ op: 'take' as const }) },
  { weight: 3, arbitrary: fc.constant({ op: 'take slowly' as const }) },
  { weight: 1, arbitrary: fc.constant({ op: 'take unanswered' as const }) },
  { weight: 1, arbitrary: fc.constant({ op: 'run' as const }) },
  { weight: 3, arbitrary: fc.constant({ op: 'reconnect' as const }) },
  { weight: 1, arbitrary: fc.constant({ op: 'restart' as const }) },
);

class Play {
  readonly pair: Pair;
  world = new World();
  envoy: FakeEnvoy;
  #serials = 0;

  constructor(pair: Pair) {
    this.pair = pair;
    this.world.set(pair.parent, { a: '1', b: '1' }).set(pair.child, { a: '1', b: '1', c: '1' });
    this.envoy = new FakeEnvoy(new Host(this.world), pair);
    this.envoy.connect();
  }

  act(op: Op): void {
    const { envoy, world } = this;
    switch (op.op) {
      case 'parent':
      case 'child':
        world.set(this.pair[op.op], { [op.name]: op.content }).wake();
        return;
      case 'take':
        envoy.host.run();
        envoy.take();
        return;
      case 'take slowly':
        envoy.host.run();
        envoy.take('slowly');
        return;
      case 'take unanswered':
        envoy.host.run();
        envoy.take('never');
        envoy.connect();
        return;
      case 'run':
        envoy.host.run();
        return;
      case 'reconnect':
        envoy.connect();
        return;
      case 'restart':
        this.#restart();
    }
  }

  /** Another process with the same configuration. */
  #restart(): void {
    const { parent, child } = this.pair;
    const before = this.world;
    this.world = new World();
    this.world.set(parent, before.contents(parent)).set(child, before.contents(child));
    const host = new Host(this.world);
    host.serial = this.#serials += 1000;
    const next = new FakeEnvoy(host, this.pair);
    for (const [key, value] of this.envoy.versions) next.versions.set(key, value);
    for (const [key, value] of this.envoy.parents) next.parents.set(key, value);
    for (const [key, value] of this.envoy.children) next.children.set(key, value);
    this.envoy = next;
    next.connect();
  }

  finish(): void {
    const { envoy, world } = this;
    const { parent, child } = this.pair;
    envoy.settle();
    const parents = world.contents(parent);
    expect(Object.fromEntries([...envoy.parents].sort())).toEqual(parents);
    const wanted = Object.entries(world.contents(child)).filter(([key]) => key in parents);
    expect(Object.fromEntries([...envoy.children].sort())).toEqual(Object.fromEntries(wanted));
  }
}

describe.each(PAIRS)('an Envoy that speaks state of the world: %s', (_label, pair) => {
  it('in the end holds what it should, wherever streams break', () => {
    fc.assert(
      fc.property(fc.array(ops, { maxLength: 40, size: 'max' }), (list) => {
        const play = new Play(pair);
        for (const op of list) play.act(op);
        play.finish();
      }),
      { numRuns: 300 },
    );
  });

  it('is sent nothing again, by the same server and by another', () => {
    const play = new Play(pair);
    play.envoy.settle();
    for (const op of ['reconnect', 'restart'] as const) {
      play.envoy.received = [];
      play.act({ op });
      play.finish();
      expect(play.envoy.received).toEqual([]);
    }
    play.act({ op: 'child', name: 'a', content: '2' });
    play.envoy.settle();
    play.act({ op: 'restart' });
    play.envoy.settle();
    expect(play.envoy.received).toEqual([]);
  });

  it('is sent children again when a parent came after them', () => {
    const play = new Play(pair);
    play.envoy.settle();
    // It goes, and comes back as it was.
    for (const content of [undefined, '1']) {
      play.act({ op: 'parent', name: 'b', content });
      play.envoy.host.run();
      play.envoy.take();
    }
    play.envoy.received = [];
    play.act({ op: 'restart' });
    play.finish();
    expect(play.envoy.received.map((update) => update.typeUrl)).toEqual([pair.child]);
  });

  it('is sent children again when the last answer left out some that wait', () => {
    const play = new Play(pair);
    const { envoy } = play;
    envoy.settle();
    play.act({ op: 'child', name: 'a', content: '2' });
    envoy.host.run();
    play.act({ op: 'parent', name: 'a', content: '2' });
    play.act({ op: 'parent', name: 'c', content: '1' });
    envoy.host.run();
    // The parents have changed once more: meanwhile only what is newly asked for is answered.
    play.act({ op: 'parent', name: 'b', content: '2' });
    play.act({ op: 'child', name: 'b', content: '2' });
    envoy.take('never');
    envoy.take('slowly');
    envoy.received = [];
    envoy.take();
    expect(envoy.received.map((update) => Object.keys(contents(update.resources)))).toEqual([['c']]);
    play.act({ op: 'reconnect' });
    play.finish();
  });

  it('unless nobody knows that it is one', () => {
    const world = new World();
    world.set(pair.parent, { a: '1' }).set(pair.child, { a: '1' });
    const other = new FakeEnvoy(new Host(world), pair, false);
    other.connect();
    other.settle();
    other.received = [];
    other.connect();
    other.settle();
    expect(other.received.map((update) => update.typeUrl)).toEqual([pair.child]);
  });
});
