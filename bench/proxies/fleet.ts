// Many fake proxies and what they saw. Lives in a process of its own, so that the server's figures are the server's alone.
// In: commands (see remote.ts). Out: moments and counts.

import { ChannelCredentials } from '@grpc/grpc-js';
import type { Update } from '../../src/xds/client-state.ts';
import type { Mode } from '../../src/xds/encode.ts';
import { machineMs, pause } from '../clock.ts';
import { type BenchNode, type MeshShape, proxyNode } from '../mesh.ts';
import { Contents } from './contents.ts';
import { FakeProxy } from './fake-proxy.ts';
import { Identities } from './identities.ts';
import { Marks, type Tracked } from './marks.ts';

export interface Crowd {
  readonly address: string;
  readonly shape: MeshShape;
  /** The first of them, in the order of `proxyNode`. */
  readonly from: number;
  readonly count: number;
  readonly mode: Mode;
  /** Where the server keeps its authority: over TLS, each with a certificate of its own. */
  readonly stateDir?: string | undefined;
}

export interface Counts {
  readonly proxies: number;
  readonly bytes: number;
  readonly responses: number;
  readonly resources: number;
  readonly needlessBytes: number;
  /** Streams that ended, and were opened again. */
  readonly lost: number;
}

const PLAIN = ChannelCredentials.createInsecure();
const NOTHING: Counts = { proxies: 0, bytes: 0, responses: 0, resources: 0, needlessBytes: 0, lost: 0 };

export class Fleet {
  readonly #contents = new Contents();
  #proxies: FakeProxy[] = [];
  #counts = NOTHING;
  #marks: Marks | undefined;
  #heardAt = 0;

  /** Connects all at once; resolves with how long each took until it had everything, ms. */
  async connect({ address, shape, from, count, mode, stateDir }: Crowd): Promise<readonly number[]> {
    const nodes = Array.from({ length: count }, (_, index) => proxyNode(shape, from + index));
    const credentials = await credentialsOf(nodes, stateDir);
    const started = machineMs();
    const ports = {
      contents: this.#contents,
      heard: (proxy: object, update: Update, needless: boolean) => this.#heard(proxy, update, needless),
      lost: () => this.#count({ lost: 1 }),
    };
    return Promise.all(
      nodes.map(
        (node, index) =>
          new Promise<number>((resolve) => {
            const synced = (): void => resolve(machineMs() - started);
            const caller = { node, credentials: credentials[index] ?? PLAIN };
            this.#proxies.push(new FakeProxy(address, caller, mode, ports, synced));
          }),
      ),
    );
  }

  /** Another stream for each, all at once; those that are closed first, leave for good. */
  reconnect(): void {
    this.#heardAt = machineMs();
    for (const proxy of this.#proxies) proxy.reconnect();
  }

  disconnect(): void {
    for (const proxy of this.#proxies.splice(0)) proxy.close();
  }

  /** From now on looks for a text in what comes. */
  track(tracked: Tracked): void {
    this.#marks = new Marks(tracked);
  }

  /** When what was sought came, by text; waits until so many came for each proxy. */
  async seen(each: number, timeout: number): Promise<Readonly<Record<string, readonly number[]>>> {
    await this.#marks?.until(this.#proxies.length * each, timeout);
    return this.#marks?.all ?? {};
  }

  /** Counts since the last call of `reset`. */
  counts(): Counts {
    return { ...this.#counts, proxies: this.#proxies.length };
  }

  reset(): void {
    this.#counts = NOTHING;
  }

  /** Resolves when nothing has come for so long, ms. */
  async silence(ms: number): Promise<void> {
    const from = machineMs();
    for (;;) {
      const left = Math.max(from, this.#heardAt) + ms - machineMs();
      if (left <= 0) return;
      await pause(left);
    }
  }

  #heard(proxy: object, update: Update, needless: boolean): void {
    const now = machineMs();
    this.#heardAt = now;
    const { size, resources, typeUrl } = update;
    this.#count({ bytes: size, responses: 1, resources: resources.length, needlessBytes: needless ? size : 0 });
    if (this.#marks?.typeUrl !== typeUrl) return;
    for (const resource of resources) this.#marks.take(proxy, resource, this.#contents.of(resource).version, now);
  }

  #count(more: Partial<Counts>): void {
    const sum = { ...this.#counts };
    for (const key of Object.keys(more) as (keyof Counts)[]) sum[key] += more[key] ?? 0;
    this.#counts = sum;
  }
}

/** What each of them shows; nothing in plaintext. */
async function credentialsOf(
  nodes: readonly BenchNode[],
  stateDir: string | undefined,
): Promise<readonly ChannelCredentials[]> {
  if (stateDir === undefined) return [];
  const identities = await Identities.open(stateDir);
  return Promise.all(
    nodes.map(({ metadata }) =>
      identities.credentials(String(metadata['NAMESPACE']), String(metadata['SERVICE_ACCOUNT'])),
    ),
  );
}
