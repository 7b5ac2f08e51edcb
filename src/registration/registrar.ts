// Workloads outside Kubernetes register themselves: an entry appears with the proxy's first stream, says whether the
// workload is healthy, and goes some time after the last stream has ended.
// In: streams that open and end, health that agents report; a reader and a writer of entries. Out: refusals, changes through
// the writer. Several replicas may do this at once: the newest connection decides. Called by server/registration.ts.

import type { Clock, Log, Meter, Timers } from '../lib/ports.ts';
import { entryOf, type RegisteringNode, type RegisteringProxy, registeringProxy } from './entry.ts';
import { ANNOTATION, type EntryReader, type EntryWriter, type WorkloadEntry } from './port.ts';

export interface RegistrarOptions {
  /** Name of this replica. */
  readonly controller: string;
  /** An entry outlives the last stream of its proxy by this, ms: proxies reconnect. */
  readonly graceMs: number;
  /** A connection can't be older, ms; what claims to be was left by a replica that died. Undefined: connections don't age. */
  readonly maxConnectionAgeMs: number | undefined;
  /** Identities have to fit the entry. */
  readonly validateIdentity: boolean;
}

export interface RegistrarPorts {
  readonly reader: EntryReader;
  readonly writer: EntryWriter;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly meter: Meter;
}

export interface RegistrationPeer {
  readonly plaintext: boolean;
  readonly identities: readonly string[];
}

/** One stream of a registered proxy. */
export interface Registration {
  readonly kind: 'registered';
  /** The agent's probe: undefined when well, else what is wrong. */
  health(problem: string | undefined): void;
  ended(): void;
}

export type RegistrationAnswer =
  | Registration
  | { readonly kind: 'refused'; readonly reason: 'no-group' | 'no-entry' | 'identity'; readonly message: string };

/** Sweeps for what dead replicas left are as many grace periods apart. */
const SWEEP_PERIODS = 10;
/** Removals in a second, so that a mesh that lost a replica is not a storm for the API. */
const REMOVALS_PER_SECOND = 20;
const ATTEMPTS = 5;
const RETRY_MS = 200;

interface Connected {
  readonly proxy: RegisteringProxy;
  /** RFC 3339, of the newest stream. */
  connectedAt: string;
  streams: number;
  lastProbe: string;
  cancelCleanup: () => void;
  /** Changes of one entry, one after the other. */
  work: Promise<void>;
}

export class Registrar {
  readonly #options: RegistrarOptions;
  readonly #ports: RegistrarPorts;
  readonly #log: Log;
  readonly #counts: ReturnType<typeof countersOf>;
  readonly #connected = new Map<string, Connected>();
  #cancelSweep: () => void = () => undefined;
  #lastStamp = 0;
  #closed = false;

  constructor(options: RegistrarOptions, ports: RegistrarPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#log = ports.log.child('wle');
    this.#counts = countersOf(ports.meter);
    this.#scheduleSweep();
  }

  /** Undefined for a proxy that doesn't ask for it, or that nobody can know: it is served as any other. */
  connect(node: RegisteringNode, peer: RegistrationPeer): RegistrationAnswer | undefined {
    const proxy = registeringProxy(node);
    if (proxy === undefined) return undefined;
    if (peer.plaintext && this.#options.validateIdentity) {
      const { namespace, entry } = proxy;
      this.#log.warn({ entry: `${namespace}/${entry}` }, 'not registered: without TLS nobody proves who it is');
      return undefined;
    }
    const { reader } = this.#ports;
    const group = proxy.group === '' ? undefined : reader.group(proxy.namespace, proxy.group);
    const entry = reader.entry(proxy.namespace, proxy.entry);
    if (entry === undefined && proxy.group === '') {
      return refusal('no-entry', `WorkloadEntry ${proxy.namespace}/${proxy.entry} does not exist`);
    }
    if (entry === undefined && group === undefined) {
      return refusal('no-group', `WorkloadGroup ${proxy.namespace}/${proxy.group} does not exist`);
    }
    const account = entry?.spec.serviceAccount ?? group?.spec.template?.serviceAccount ?? '';
    const problem = this.#options.validateIdentity ? identityProblem(proxy, account, peer) : undefined;
    if (problem !== undefined) return refusal('identity', problem);
    const connected = this.#join(proxy);
    this.#inTurn(connected, 'registration', () => this.#register(connected));
    let isOver = false;
    return {
      kind: 'registered',
      health: (trouble) => {
        if (!isOver) this.#inTurn(connected, 'health', () => this.#tellHealth(connected, trouble));
      },
      ended: () => {
        if (isOver) return;
        isOver = true;
        this.#leave(connected);
      },
    };
  }

  close(): void {
    this.#closed = true;
    this.#cancelSweep();
    for (const connected of this.#connected.values()) connected.cancelCleanup();
  }

  #join(proxy: RegisteringProxy): Connected {
    const key = `${proxy.namespace}/${proxy.entry}`;
    let connected = this.#connected.get(key);
    if (connected === undefined) {
      const cancelCleanup = (): void => undefined;
      connected = { proxy, connectedAt: '', streams: 0, lastProbe: '', cancelCleanup, work: Promise.resolve() };
      this.#connected.set(key, connected);
    }
    connected.cancelCleanup();
    connected.streams++;
    connected.connectedAt = this.#stamp();
    return connected;
  }

  /** Times in this process are all different: who came later can always be told. */
  #stamp(): string {
    this.#lastStamp = Math.max(this.#ports.clock.now(), this.#lastStamp + 0.001);
    const ms = Math.floor(this.#lastStamp);
    const nanos = Math.floor((this.#lastStamp - ms) * 1e6);
    return new Date(ms).toISOString().replace('Z', `${String(nanos).padStart(6, '0')}Z`);
  }

  async #register({ proxy, connectedAt }: Connected): Promise<void> {
    const { reader, writer, clock } = this.#ports;
    const { controller } = this.#options;
    const entry = reader.entry(proxy.namespace, proxy.entry);
    if (entry === undefined) {
      const group = reader.group(proxy.namespace, proxy.group);
      if (group === undefined) return;
      await writer.create(entryOf(group, proxy, { now: clock.now(), controller, connectedAt }), group);
      this.#counts.success.inc();
      this.#log.info({ entry: `${proxy.namespace}/${proxy.entry}`, group: proxy.group }, 'workload registered');
      return;
    }
    // Somebody with whom the proxy has connected since owns the entry.
    if (!isNewer(connectedAt, entry)) return;
    const annotations = {
      [ANNOTATION.controller]: controller,
      [ANNOTATION.connectedAt]: connectedAt,
      [ANNOTATION.disconnectedAt]: undefined,
      ...(proxy.hasProbe && isRegistered(entry) ? { [ANNOTATION.healthChecks]: 'true' } : {}),
    };
    await writer.change(entry, { annotations });
    this.#counts.updates.inc();
  }

  async #tellHealth(connected: Connected, trouble: string | undefined): Promise<void> {
    const { reader, writer } = this.#ports;
    const { proxy } = connected;
    const entry = reader.entry(proxy.namespace, proxy.entry);
    if (entry === undefined || !this.#owns(entry)) return;
    const now = this.#stamp();
    if (now <= connected.lastProbe) return;
    connected.lastProbe = now;
    const status = trouble === undefined ? 'True' : 'False';
    const times = { lastProbeTime: now, lastTransitionTime: now };
    await writer.change(entry, { health: { type: 'Healthy', status, message: trouble ?? '', ...times } });
    this.#log.info({ entry: `${proxy.namespace}/${proxy.entry}`, healthy: status }, 'workload health');
  }

  #leave(connected: Connected): void {
    connected.streams--;
    if (connected.streams > 0 || this.#closed) return;
    const { connectedAt } = connected;
    this.#counts.unregister.inc();
    this.#inTurn(connected, 'end of connection', async () => {
      if (connected.streams > 0) return;
      await this.#markDisconnected(connected, connectedAt);
    });
    connected.cancelCleanup = this.#ports.timers.setTimeout(() => {
      this.#inTurn(connected, 'removal', () => this.#cleanUp(connected));
    }, this.#options.graceMs);
  }

  async #markDisconnected({ proxy }: Connected, connectedAt: string): Promise<void> {
    const { reader, writer } = this.#ports;
    const entry = reader.entry(proxy.namespace, proxy.entry);
    if (entry === undefined || !this.#owns(entry)) return;
    if ((entry.annotations[ANNOTATION.connectedAt] ?? '') > connectedAt) return;
    const annotations = { [ANNOTATION.connectedAt]: undefined, [ANNOTATION.disconnectedAt]: this.#stamp() };
    await writer.change(entry, { annotations });
  }

  async #cleanUp(connected: Connected): Promise<void> {
    const { proxy } = connected;
    if (connected.streams > 0) return;
    this.#connected.delete(`${proxy.namespace}/${proxy.entry}`);
    const entry = this.#ports.reader.entry(proxy.namespace, proxy.entry);
    if (entry !== undefined && this.#isOver(entry)) await this.#take(entry);
  }

  /** Registered entries go; of others only what this feature had put there. */
  async #take(entry: WorkloadEntry): Promise<void> {
    const { writer } = this.#ports;
    if (isRegistered(entry)) {
      await writer.remove(entry);
      this.#counts.deletes.inc();
      this.#log.info({ entry: `${entry.namespace}/${entry.name}` }, 'workload is gone');
    } else if (entry.status?.conditions.some(({ type }) => type === 'Healthy') === true) {
      await writer.change(entry, { health: 'none' });
    }
  }

  #owns(entry: WorkloadEntry): boolean {
    return entry.annotations[ANNOTATION.controller] === this.#options.controller;
  }

  /** Disconnected for longer than the grace period, or connected for longer than a connection can last. */
  #isOver({ annotations }: WorkloadEntry): boolean {
    const { graceMs, maxConnectionAgeMs } = this.#options;
    const now = this.#ports.clock.now();
    const connectedAt = Date.parse(annotations[ANNOTATION.connectedAt] ?? '');
    if (!Number.isNaN(connectedAt))
      return maxConnectionAgeMs !== undefined && now - connectedAt > maxConnectionAgeMs * 1.5;
    const disconnectedAt = Date.parse(annotations[ANNOTATION.disconnectedAt] ?? '');
    return !Number.isNaN(disconnectedAt) && now - disconnectedAt >= graceMs;
  }

  #scheduleSweep(): void {
    if (this.#closed) return;
    this.#cancelSweep = this.#ports.timers.setTimeout(() => {
      void this.#sweep().then(() => this.#scheduleSweep());
    }, this.#options.graceMs * SWEEP_PERIODS);
  }

  /** What replicas that died left behind. */
  async #sweep(): Promise<void> {
    for (const entry of [...this.#ports.reader.entries()]) {
      const isOurs = (this.#connected.get(`${entry.namespace}/${entry.name}`)?.streams ?? 0) > 0;
      if (this.#closed) return;
      if (isOurs || !this.#isOver(entry)) continue;
      await this.#take(entry).catch((error: unknown) => this.#failed('removal', error));
      await new Promise<void>((resolve) => void this.#ports.timers.setTimeout(resolve, 1000 / REMOVALS_PER_SECOND));
    }
  }

  /** One after the other for each entry, and a few times where somebody else was faster. */
  #inTurn(connected: Connected, what: string, act: () => Promise<void>): void {
    connected.work = connected.work.then(async () => {
      for (let attempt = 1; !this.#closed; attempt++) {
        try {
          return await act();
        } catch (error) {
          if (attempt >= ATTEMPTS) return this.#failed(what, error);
          await new Promise<void>((resolve) => void this.#ports.timers.setTimeout(resolve, RETRY_MS * attempt));
        }
      }
    });
  }

  #failed(what: string, error: unknown): void {
    this.#counts.errors.inc();
    this.#log.error(
      { what, reason: error instanceof Error ? error.message : String(error) },
      'WorkloadEntry not written',
    );
  }
}

function isRegistered({ annotations }: WorkloadEntry): boolean {
  return (annotations[ANNOTATION.group] ?? '') !== '';
}

function isNewer(connectedAt: string, { annotations }: WorkloadEntry): boolean {
  const [was = '', ended = ''] = [annotations[ANNOTATION.connectedAt], annotations[ANNOTATION.disconnectedAt]];
  return connectedAt > was && connectedAt > ended;
}

/** Whoever could register under another's name would get its traffic. */
function identityProblem(proxy: RegisteringProxy, account: string, peer: RegistrationPeer): string | undefined {
  const fits = peer.identities.some((identity) => {
    const [, namespace, name] = /\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(identity) ?? [];
    return namespace === proxy.namespace && (account === '' || account === name);
  });
  if (fits) return undefined;
  const expected = account === '' ? `namespace ${proxy.namespace}` : `service account ${proxy.namespace}/${account}`;
  return `WorkloadEntry ${proxy.namespace}/${proxy.entry} is for ${expected}, which the caller has not proven to be`;
}

function refusal(reason: 'no-group' | 'no-entry' | 'identity', message: string): RegistrationAnswer {
  return { kind: 'refused', reason, message };
}

function countersOf(meter: Meter) {
  return {
    success: meter.counter('auto_registration_success_total', 'Workloads registered.'),
    updates: meter.counter('auto_registration_updates_total', 'Entries of workloads that connected again.'),
    unregister: meter.counter('auto_registration_unregister_total', 'Workloads whose last stream ended.'),
    deletes: meter.counter('auto_registration_deletes_total', 'Entries removed.'),
    errors: meter.counter('auto_registration_errors_total', 'Changes of entries that failed.'),
  };
}
