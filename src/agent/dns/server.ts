// The DNS proxy beside a sidecar: answers names of the mesh from the control plane's table, passes all else on.
// In: queries over UDP and TCP; out: responses. Called by agent.ts, which feeds it name tables.

import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import { parseIp } from '../../lib/ip.ts';
import type { Log, Meter, Timers } from '../../lib/ports.ts';
import { type Answer, formatError, parseQuery, type Query, RCODE, TYPE, udpLimit, writeReply } from './message.ts';
import { type NameScope, type NameTable, readNameTable } from './table.ts';
import { framed, frames } from './tcp-frames.ts';
import { type Resolver, shuffled, type Transport, upstreamOf } from './upstream.ts';

export interface DnsOptions {
  /** Several addresses of one port: loopback of both families. Port 0 takes any. */
  readonly hosts: readonly string[];
  readonly port: number;
  readonly scope: NameScope;
  readonly resolvers: readonly Resolver[];
  /** Resolvers are asked all at once. */
  readonly parallel: boolean;
}

export interface DnsPorts {
  readonly timers: Timers;
  readonly random: () => number;
  readonly log: Log;
  readonly meter: Meter;
}

export interface DnsServer {
  readonly port: number;
  /** The newest table; undefined until the control plane has sent the first. */
  readonly table: NameTable | undefined;
  /** An encoded NameTable. Throws when it is none; the one before stays. */
  replace(table: Uint8Array): void;
  close(): Promise<void>;
}

/** Seconds for which an answer may be kept: short, since addresses of headless services come and go. */
const TTL = 30;
/** Questions under way to resolvers; more are answered with a failure, as a resolver that can't keep up would. */
const MAX_FORWARDED = 1000;
const MAX_CONNECTIONS = 256;
const TCP_IDLE_MS = 10_000;
const MAX_TCP = 65_535;

/** Listens on UDP and TCP. Rejects if the port is taken. */
export async function serveDns(options: DnsOptions, ports: DnsPorts): Promise<DnsServer> {
  const proxy = new DnsProxy(options, ports);
  await proxy.listen();
  return proxy;
}

class DnsProxy implements DnsServer {
  readonly #options: DnsOptions;
  readonly #ports: DnsPorts;
  readonly #log: Log;
  readonly #metrics: ReturnType<typeof metricsOf>;
  readonly #upstream: ReturnType<typeof upstreamOf>;
  readonly #udp: UdpSocket[] = [];
  readonly #tcp: Server[] = [];
  readonly #connections = new Set<Socket>();
  #table: NameTable | undefined;
  #port: number;
  #forwarded = 0;

  constructor(options: DnsOptions, ports: DnsPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#port = options.port;
    this.#log = ports.log.child('dns');
    this.#metrics = metricsOf(ports.meter);
    const { resolvers, parallel } = options;
    this.#upstream = upstreamOf({
      resolvers,
      parallel,
      timers: ports.timers,
      random: ports.random,
      failed: (resolver, reason) => {
        this.#metrics.failures.inc();
        this.#log.debug({ resolver: resolver.host, reason }, 'resolver did not answer');
      },
    });
  }

  get port(): number {
    return this.#port;
  }

  get table(): NameTable | undefined {
    return this.#table;
  }

  async listen(): Promise<void> {
    try {
      for (const host of this.#options.hosts) await this.#listenOn(host);
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#log.info({ hosts: this.#options.hosts, port: this.#port, resolvers: this.#options.resolvers }, 'DNS proxy');
  }

  async #listenOn(host: string): Promise<void> {
    const server = createServer((connection) => this.#connected(connection));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, host, resolve);
    });
    this.#tcp.push(server);
    server.maxConnections = MAX_CONNECTIONS;
    const address = server.address();
    if (typeof address === 'object' && address !== null) this.#port = address.port;
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(this.#port, host, resolve);
    });
    socket.on('error', (error) => this.#log.warn({ reason: error.message }, 'DNS socket'));
    socket.on('message', (bytes, from) => void this.#datagram(socket, bytes, from));
    this.#udp.push(socket);
  }

  replace(bytes: Uint8Array): void {
    const table = readNameTable(bytes, this.#options.scope);
    if (this.#table === undefined) this.#log.info({ names: table.hosts.size }, 'first name table');
    this.#table = table;
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    await Promise.all([
      ...this.#udp.splice(0).map((socket) => new Promise<void>((resolve) => socket.close(resolve))),
      ...this.#tcp.splice(0).map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    ]);
  }

  async #datagram(socket: UdpSocket, bytes: Buffer, from: RemoteInfo): Promise<void> {
    const response = await this.#respond(bytes, 'udp');
    if (response === undefined || !this.#udp.includes(socket)) return;
    socket.send(response, from.port, from.address, (error) => {
      if (error !== null) this.#log.debug({ reason: error.message }, 'response not sent');
    });
  }

  #connected(connection: Socket): void {
    this.#connections.add(connection);
    connection.on('close', () => this.#connections.delete(connection));
    connection.on('error', () => connection.destroy());
    connection.setTimeout(TCP_IDLE_MS, () => connection.destroy());
    const take = frames((bytes) => {
      this.#respond(bytes, 'tcp').then(
        (response) => {
          if (response === undefined) connection.destroy();
          else if (!connection.destroyed) connection.write(framed(response));
        },
        () => connection.destroy(),
      );
    });
    connection.on('data', take);
  }

  async #respond(bytes: Buffer, transport: Transport): Promise<Buffer | undefined> {
    this.#metrics.requests.inc();
    const query = parseQuery(bytes);
    if (query === undefined) return formatError(bytes);
    const limit = transport === 'udp' ? udpLimit(query) : MAX_TCP;
    const failure = (rcode: number): Buffer =>
      writeReply(query, { rcode, authoritative: false, answers: [], ttl: TTL }, limit);
    if (query.opcode !== 0) return failure(RCODE.NOTIMP);
    const table = this.#table;
    // Where this takes the place of the machine's resolver, the control plane's own name has to be found first.
    if (table === undefined && this.#options.port !== 53) return failure(RCODE.SERVFAIL);
    const answers = table === undefined ? undefined : answersTo(query, table, this.#ports.random);
    if (answers !== undefined)
      return writeReply(query, { rcode: RCODE.NOERROR, authoritative: true, answers, ttl: TTL }, limit);
    return (await this.#forward(bytes, transport)) ?? failure(RCODE.SERVFAIL);
  }

  async #forward(bytes: Buffer, transport: Transport): Promise<Buffer | undefined> {
    if (this.#forwarded >= MAX_FORWARDED) return undefined;
    this.#forwarded++;
    this.#metrics.upstream.inc();
    try {
      return await this.#upstream.ask(bytes, transport);
    } finally {
      this.#forwarded--;
    }
  }
}

/** Undefined: for others to answer. An empty list: the host is there, without an address of this family. */
function answersTo(query: Query, table: NameTable, random: () => number): readonly Answer[] | undefined {
  if (!query.isInternet || (query.type !== TYPE.A && query.type !== TYPE.AAAA)) return undefined;
  const found = table.find(query.name);
  if (found === undefined) return undefined;
  const version = query.type === TYPE.A ? 4 : 6;
  const addresses = found.ips.flatMap((ip) => addressBytes(ip, version) ?? []);
  return [
    ...(found.alias === undefined ? [] : [{ kind: 'cname', target: found.alias } as const]),
    ...shuffled(addresses, random).map((bytes) => ({ kind: 'address', bytes }) as const),
  ];
}

function addressBytes(ip: string, version: 4 | 6): Uint8Array | undefined {
  const parsed = parseIp(ip);
  if (parsed?.version !== version) return undefined;
  return Buffer.from(parsed.value.toString(16).padStart(version === 4 ? 8 : 32, '0'), 'hex');
}

function metricsOf(meter: Meter) {
  return {
    requests: meter.counter('istio_agent_dns_requests_total', 'DNS queries.'),
    upstream: meter.counter('istio_agent_dns_upstream_requests_total', 'DNS queries passed on to resolvers.'),
    failures: meter.counter('istio_agent_dns_upstream_failures_total', 'DNS queries that a resolver did not answer.'),
  };
}
