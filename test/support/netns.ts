// Network namespaces as pods: joined by a bridge, each with an address of its own, and a process inside that serves and
// calls as an application would. Needs root, `ip` and `iptables`; everything is taken down again by `remove`.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const POD = fileURLToPath(new URL('pod-process.ts', import.meta.url));

/** Why pods can't be made here, in words; undefined when they can. `further` = tools that a test needs beside the usual. */
export function whyNoPods(...further: readonly string[]): string | undefined {
  if (process.getuid?.() !== 0) return 'root is needed to make network namespaces';
  for (const tool of ['ip', 'iptables', 'setpriv', ...further]) {
    try {
      execFileSync('sh', ['-c', `command -v ${tool}`], { stdio: 'ignore' });
    } catch {
      return `${tool} is missing`;
    }
  }
  const probe = `mt-probe-${process.pid}`;
  try {
    ip('netns', 'add', probe);
    ip('netns', 'del', probe);
    return undefined;
  } catch {
    return 'network namespaces can not be made here';
  }
}

function ip(...args: readonly string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** For what may not be there. */
function quietly(...args: readonly string[]): void {
  try {
    ip(...args);
  } catch {
    // It was never made, or is gone already.
  }
}

/**
 * A private network: the bridge is `10.A.B.1`, where a control plane may listen; pods count from 2. With IPv6 there is
 * `fd00:A:B::/64` beside it, by the same count.
 */
export class PodNetwork {
  readonly gateway: string;
  readonly #prefix: string;
  readonly #prefix6: string;
  readonly #bridge: string;
  readonly #pods: Pod[] = [];
  readonly #cables: string[] = [];

  constructor({ ipv6 = false }: { readonly ipv6?: boolean } = {}) {
    const id = process.pid % 65_000;
    const [a, b] = [200 + ((id >> 8) % 50), id & 255];
    this.#prefix = `10.${a}.${b}`;
    this.#prefix6 = ipv6 ? `fd00:${a}:${b}::` : '';
    this.#bridge = `mt${id}`;
    this.gateway = `${this.#prefix}.1`;
    ip('link', 'add', this.#bridge, 'type', 'bridge');
    ip('addr', 'add', `${this.gateway}/24`, 'dev', this.#bridge);
    if (ipv6) ip('addr', 'add', `${this.#prefix6}1/64`, 'dev', this.#bridge, 'nodad');
    ip('link', 'set', this.#bridge, 'up');
  }

  /** A new pod with an address, loopback and a way to the others. */
  async pod(name: string): Promise<Pod> {
    const n = this.#pods.length + 2;
    const namespace = `${this.#bridge}-${name}`;
    const outside = `${this.#bridge}v${n}`;
    ip('netns', 'add', namespace);
    const pod = new Pod(namespace, `${this.#prefix}.${n}`, this.#prefix6 === '' ? '' : `${this.#prefix6}${n}`);
    this.#pods.push(pod);
    this.#cables.push(outside);
    ip('link', 'add', outside, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
    ip('link', 'set', outside, 'master', this.#bridge, 'up');
    ip('-n', namespace, 'addr', 'add', `${pod.address}/24`, 'dev', 'eth0');
    ip('-n', namespace, 'link', 'set', 'eth0', 'up');
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    ip('-n', namespace, 'route', 'add', 'default', 'via', this.gateway);
    if (pod.address6 !== '') {
      // Nobody else can have the address: there is no need to wait until that is found out.
      ip('-n', namespace, 'addr', 'add', `${pod.address6}/64`, 'dev', 'eth0', 'nodad');
      ip('-n', namespace, '-6', 'route', 'add', 'default', 'via', `${this.#prefix6}1`);
    }
    await pod.start();
    return pod;
  }

  async remove(): Promise<void> {
    for (const pod of this.#pods.splice(0)) await pod.remove();
    // A namespace outlives its name while a connection in it lingers, and so would its end of the cable.
    for (const link of [...this.#cables.splice(0), this.#bridge]) quietly('link', 'del', link);
  }
}

/** What a pod's process answers to a call. */
export interface PodAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly error?: string;
}

export interface PodCall {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export class Pod {
  readonly namespace: string;
  readonly address: string;
  /** Empty in a network without IPv6. */
  readonly address6: string;
  readonly #waiting: ((answer: PodAnswer) => void)[] = [];
  #process: ChildProcess | undefined;

  constructor(namespace: string, address: string, address6: string) {
    this.namespace = namespace;
    this.address = address;
    this.address6 = address6;
  }

  /** Starts the process inside; it listens on nothing yet. */
  async start(): Promise<void> {
    const child = this.spawn(process.execPath, ['--import', 'tsx', POD], ['ignore', 'pipe', 'inherit']);
    this.#process = child;
    await this.ask({});
  }

  /** Runs a command in the namespace. Throws with what it printed when it fails. */
  run(command: string, args: readonly string[], input = ''): string {
    const all = ['netns', 'exec', this.namespace, command, ...args];
    return execFileSync('ip', all, { cwd: ROOT, input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** Starts a process in the namespace; it ends with this one. */
  spawn(
    command: string,
    args: readonly string[],
    stdio: readonly ('ignore' | 'pipe' | 'inherit')[],
    env: Readonly<Record<string, string>> = {},
  ): ChildProcess {
    const inside = ['netns', 'exec', this.namespace, 'setpriv', '--pdeathsig', 'KILL', command, ...args];
    const inherited = { PATH: process.env['PATH'], HOME: process.env['HOME'] };
    return spawn('ip', inside, { cwd: ROOT, stdio: ['pipe', ...stdio.slice(1)], env: { ...inherited, ...env } });
  }

  /** HTTP from the application; `error` when there is no answer. */
  call(call: PodCall): Promise<PodAnswer> {
    return this.ask({ call });
  }

  /** The same call many times: how often each application answered, or each status that was not 200. */
  async count(call: PodCall, times: number): Promise<Readonly<Record<string, number>>> {
    const { body, error } = await this.ask({ count: { ...call, times } });
    if (error !== undefined) throw new Error(error);
    return JSON.parse(body ?? '{}') as Record<string, number>;
  }

  /** The application listens on the pod's address; `::` = on all of both families. */
  serve(port: number, name: string, address = this.address): Promise<PodAnswer> {
    return this.ask({ serve: { port, name, address } });
  }

  /** Bytes over TCP from the application: the first that come back. */
  talk(address: string, port: number, text: string): Promise<PodAnswer> {
    return this.ask({ talk: { address, port, text } });
  }

  private ask(request: object): Promise<PodAnswer> {
    const child = this.#process;
    if (child === undefined) return Promise.resolve({ error: 'the pod is not running' });
    if (this.#waiting.length === 0 && child.listenerCount('exit') === 0) this.#listen(child);
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      child.stdin?.write(`${JSON.stringify(request)}\n`);
    });
  }

  #listen(child: ChildProcess): void {
    child.once('exit', () => {
      for (const answer of this.#waiting.splice(0)) answer({ error: "the pod's process has ended" });
    });
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.#waiting.shift()?.(JSON.parse(line) as PodAnswer);
    });
  }

  async remove(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child !== undefined && child.exitCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.stdin?.end();
      child.kill('SIGKILL');
      await gone;
    }
    quietly('netns', 'del', this.namespace);
  }
}
