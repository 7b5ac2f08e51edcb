import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import { readFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CallAnswer, call, talk } from '../support/apps.ts';
import { type Issued, issue } from '../support/certificates.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { startSilent } from '../support/silent.ts';
import { until } from '../support/wait.ts';
import { istio, NAMESPACE, to, versions } from './fixtures.ts';

const envoy = newestEnvoy();

describe.skipIf(envoy === '')('connections', () => {
  let mesh: Mesh<LocalControlPlane>;
  let authority: Issued;
  let front: Issued;
  const secure: Server[] = [];
  let forwarder: HttpServer;
  const tunnels = new Set<Duplex>();
  /** What the forward proxy was asked for. */
  const asked: string[] = [];

  beforeAll(async () => {
    const egress = [
      { name: 'tcp', number: 7000, protocol: 'TCP' },
      { name: 'tls', number: 8443, protocol: 'TLS' },
      { name: 'tcp-forward', number: 3128, protocol: 'TCP' },
    ];
    const ledger = (name: string): object => ({ service: 'ledger', labels: { version: name } });
    const ports = [{ name: 'tcp', number: 7000, protocol: 'TCP' }];
    const entry = (host: string, address: string, port: object): object =>
      istio('ServiceEntry', host.split('.')[0] ?? host, {
        hosts: [host],
        location: 'MESH_EXTERNAL',
        resolution: 'STATIC',
        ports: [port],
        endpoints: [{ address }],
      });
    mesh = await startMesh({
      envoy,
      workloads: [
        { name: 'gateway', role: 'router', labels: { istio: 'ingressgateway' } },
        { name: 'client', labels: { track: 'blue' }, egress },
        { name: 'other', labels: { track: 'green' }, egress },
        { name: 'one', ...ledger('v1'), ports },
        { name: 'two', ...ledger('v2'), ports },
      ],
      objects: (at) => [
        versions('ledger', ['v1', 'v2']),
        entry('a.example', at.other(201), { number: 8443, name: 'tls', protocol: 'TLS' }),
        entry('b.example', at.other(202), { number: 8443, name: 'tls', protocol: 'TLS' }),
        entry('forward.example', at.other(203), { number: 3128, name: 'tcp', protocol: 'TCP' }),
      ],
    });
    const folder = mesh.plane.folder.sub('outside');
    authority = issue(folder, 'outside-root', 'DNS:root.example');
    front = issue(folder, 'front', 'DNS:front.example', authority);
    for (const [name, host] of [
      ['a', 201],
      ['b', 202],
    ] as const) {
      const { cert, key } = issue(folder, name, `DNS:${name}.example`, authority);
      const server = createServer({ cert, key }, (_request, response) => void response.end(name));
      secure.push(server);
      await new Promise<void>((resolve) => void server.listen(8443, mesh.at.other(host), resolve));
    }
    forwarder = createHttpServer();
    forwarder.on('connect', ({ url = '' }, socket) => {
      asked.push(url);
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      tunnels.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('data', (chunk) => void socket.write(`through ${url} ${chunk.toString()}`));
    });
    await new Promise<void>((resolve) => void forwarder.listen(3128, mesh.at.other(203), resolve));
  });
  afterAll(async () => {
    for (const tunnel of tunnels) tunnel.destroy();
    for (const server of [...secure, ...(forwarder === undefined ? [] : [forwarder])]) {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    }
    await mesh?.finish();
  });

  const service = (name: string, spec: object): object => istio('VirtualService', name, spec);
  const ledgerOf = async (from: string): Promise<string | undefined> =>
    (await mesh.talk(from, 7000, 'entry'))?.split(' ')[0];
  const sni = (address: string, port: number, servername: string): Promise<CallAnswer> =>
    call({ address, port, headers: { connection: 'close' }, tls: { ca: authority.cert, servername } });

  describe('of a sidecar', () => {
    const tcp = (routes: readonly object[]): Promise<void> =>
      mesh.apply('routes', [service('ledger', { hosts: ['ledger'], tcp: routes })]);

    it('go to the subset that a route names', async () => {
      for (const [subset, name] of [
        ['v1', 'one'],
        ['v2', 'two'],
      ] as const) {
        await tcp([{ match: [{ port: 7000 }], route: [to('ledger', subset)] }]);
        for (let count = 0; count < 4; count++) expect(await ledgerOf('client')).toBe(name);
      }
    });

    it('are split by weight', async () => {
      await tcp([{ route: [to('ledger', 'v1', { weight: 75 }), to('ledger', 'v2', { weight: 25 })] }]);
      const names: (string | undefined)[] = [];
      for (let count = 0; count < 200; count++) names.push(await ledgerOf('client'));
      const first = names.filter((name) => name === 'one').length;
      expect(names.filter((name) => name === 'two').length).toBe(200 - first);
      expect(Math.abs(first / 200 - 0.75)).toBeLessThan(0.15);
    });

    it('are told apart by who opens them', async () => {
      await tcp([
        { match: [{ sourceLabels: { track: 'green' } }], route: [to('ledger', 'v2')] },
        { route: [to('ledger', 'v1')] },
      ]);
      for (let count = 0; count < 4; count++) {
        expect(await ledgerOf('client')).toBe('one');
        expect(await ledgerOf('other')).toBe('two');
      }
    });

    it('are told apart by SNI, and end where the certificate is', async () => {
      const at = mesh.at.out('client');
      const leads = (host: string, destination: string): object =>
        service(host.split('.')[0] ?? host, {
          hosts: [host],
          tls: [{ match: [{ port: 8443, sniHosts: [host] }], route: [to(destination)] }],
        });
      await mesh.apply('routes', [leads('a.example', 'a.example'), leads('b.example', 'b.example')]);
      expect((await sni(at, 8443, 'a.example')).body).toBe('a');
      expect((await sni(at, 8443, 'b.example')).body).toBe('b');
      await mesh.apply('routes', [leads('a.example', 'b.example'), leads('b.example', 'b.example')]);
      // What answers is b, whose certificate is for another name.
      await expect(sni(at, 8443, 'a.example')).rejects.toThrow(/altnames.*b\.example/);
      expect((await sni(at, 8443, 'b.example')).body).toBe('b');
    });

    it('are tunnelled through a forward proxy', async () => {
      const tunnel = { protocol: 'CONNECT', targetHost: 'vault.example', targetPort: 7443 };
      const rule = istio('DestinationRule', 'forward', {
        host: 'forward.example',
        subsets: [{ name: 'vault', trafficPolicy: { tunnel } }],
      });
      await mesh.apply('routes', [
        rule,
        service('ledger', {
          hosts: ['ledger'],
          tcp: [{ route: [{ destination: { host: 'forward.example', subset: 'vault', port: { number: 3128 } } }] }],
        }),
      ]);
      expect(await mesh.talk('client', 7000, 'open')).toBe('through vault.example:7443 open');
      expect(asked).toEqual(['vault.example:7443']);
    });
  });

  describe('with limits', () => {
    const pool = (tcp: object, host = 'ledger', more: readonly object[] = []): Promise<void> =>
      mesh.apply('routes', [
        ...more,
        istio('DestinationRule', `${host}-pool`.replace('.', '-'), {
          host,
          trafficPolicy: { connectionPool: { tcp } },
        }),
      ]);
    const keep = (): Promise<Kept> => keepOpen(mesh.at.out('client'), 7000);

    it('are no more at once than there may be', async () => {
      await pool({ maxConnections: 1 });
      const held = await keep();
      expect(await mesh.talk('client', 7000, 'entry')).toBeUndefined();
      await pool({ maxConnections: 2 });
      expect(await ledgerOf('client')).toMatch(/one|two/);
      held.end();
    });

    it('end when they are idle for too long, and only then', async () => {
      await pool({ idleTimeout: '0.4s' });
      const [idle, busy] = [await keep(), await keep()];
      await until(
        async () => {
          busy.say();
          return idle.isClosed();
        },
        'the end of an idle one',
        4000,
      );
      expect(idle.lived()).toBeGreaterThan(350);
      expect(busy.isClosed()).toBe(false);
      busy.end();
    });

    it('end when they are old, also while they are in use', async () => {
      await pool({ maxConnectionDuration: '0.3s' });
      const busy = await keep();
      await until(
        async () => {
          busy.say();
          return busy.isClosed();
        },
        'the end of an old one',
        4000,
      );
      expect(busy.lived()).toBeGreaterThan(250);
    });

    it('are given up where nobody answers in time', async () => {
      const silent = await startSilent(mesh.at.other(204), 7000);
      const entry = istio('ServiceEntry', 'silent', {
        hosts: ['silent.example'],
        location: 'MESH_EXTERNAL',
        resolution: 'STATIC',
        ports: [{ number: 7000, name: 'tcp', protocol: 'TCP' }],
        endpoints: [{ address: mesh.at.other(204) }],
      });
      const leads = service('ledger', { hosts: ['ledger'], tcp: [{ route: [to('silent.example')] }] });
      await pool({ connectTimeout: '0.3s' }, 'silent.example', [entry, leads]);
      expect(await mesh.talk('client', 7000, 'entry')).toBeUndefined();
      await silent.stop();
    });

    it('are kept alive as the system is told to', async () => {
      const timers = (): readonly string[] => ['one', 'two'].flatMap((name) => timersTo(mesh.at.pod(name), 7000));
      await pool({});
      const plain = await keep();
      expect(timers()).toEqual(['00']);
      plain.end();
      await pool({ tcpKeepalive: { time: '7200s', interval: '75s' } });
      const kept = await keep();
      await until(async () => timers().includes('02'), 'a timer that keeps the connection alive');
      kept.end();
    });
  });

  describe('of a gateway', () => {
    const gateway = (...servers: readonly object[]): object =>
      istio('Gateway', 'front', {
        selector: { istio: 'ingressgateway' },
        servers: servers.map((server) => ({ bind: mesh.at.pod('gateway'), ...server })),
      });
    const gateways = ['front'];

    it('are passed on by SNI, still closed to it', async () => {
      const at = mesh.at.pod('gateway');
      await mesh.apply('routes', [
        gateway({
          port: { number: 9443, protocol: 'TLS', name: 'tls' },
          hosts: ['*.example'],
          tls: { mode: 'PASSTHROUGH' },
        }),
        service('pass', {
          hosts: ['a.example', 'b.example'],
          gateways,
          tls: ['a.example', 'b.example'].map((host) => ({
            match: [{ port: 9443, sniHosts: [host] }],
            route: [{ destination: { host, port: { number: 8443 } } }],
          })),
        }),
      ]);
      await expect.poll(() => sni(at, 9443, 'a.example').then(({ body }) => body), { timeout: 5000 }).toBe('a');
      expect((await sni(at, 9443, 'b.example')).body).toBe('b');
      await expect(sni(at, 9443, 'c.example')).rejects.toThrow(/ECONNRESET|socket/);
    });

    it('are forwarded as bytes, in the clear and out of TLS', async () => {
      const secret = {
        apiVersion: 'v1',
        kind: 'Secret',
        type: 'kubernetes.io/tls',
        metadata: { name: 'front', namespace: NAMESPACE },
        data: {
          'tls.crt': Buffer.from(front.cert).toString('base64'),
          'tls.key': Buffer.from(front.key).toString('base64'),
        },
      };
      const tls = { mode: 'SIMPLE', credentialName: 'front' };
      await mesh.apply('routes', [
        secret,
        gateway(
          { port: { number: 9000, protocol: 'TCP', name: 'tcp' }, hosts: ['*'] },
          { port: { number: 9444, protocol: 'TLS', name: 'tls' }, hosts: ['front.example'], tls },
        ),
        service('bytes', {
          hosts: ['front.example'],
          gateways,
          tcp: [
            { match: [{ port: 9000 }], route: [to('ledger', 'v1')] },
            { match: [{ port: 9444 }], route: [to('ledger', 'v2')] },
          ],
        }),
      ]);
      const at = mesh.at.pod('gateway');
      await expect.poll(() => talk(at, 9000, 'clear'), { timeout: 5000 }).toBe('one clear');
      await expect.poll(() => talkTls(at, 9444, authority.cert, 'front.example'), { timeout: 5000 }).toBe('two closed');
    });
  });
});

/** Says "closed" over TLS; resolves to the first bytes that come back. */
function talkTls(host: string, port: number, ca: string, servername: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, ca, servername }, () => void socket.write('closed'));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed without an answer')));
    socket.once('data', (chunk) => {
      resolve(chunk.toString());
      socket.destroy();
    });
  });
}

const hex =
  (digits: number) =>
  (value: number): string =>
    value.toString(16).toUpperCase().padStart(digits, '0');

interface Kept {
  say(): void;
  isClosed(): boolean;
  /** Milliseconds from its first answer to its end, or to now. */
  lived(): number;
  end(): void;
}

/** A connection that stays open after the first answer to it. */
function keepOpen(host: string, port: number): Promise<Kept> {
  return new Promise((resolve, reject) => {
    const socket = connectPlain({ host, port }, () => void socket.write('entry'));
    const closed = { at: 0 };
    socket.on('error', reject);
    socket.on('close', () => {
      closed.at = performance.now();
      reject(new Error('closed without an answer'));
    });
    socket.once('data', () => {
      const opened = performance.now();
      socket.resume();
      resolve({
        say: () => void (socket.writable && socket.write('entry')),
        isClosed: () => closed.at > 0,
        lived: () => (closed.at === 0 ? performance.now() : closed.at) - opened,
        end: () => socket.destroy(),
      });
    });
  });
}

/** The timers of this machine's connections to an address, as Linux writes them: 02 is the one of keepalive. */
function timersTo(address: string, port: number): readonly string[] {
  const ESTABLISHED = '01';
  const remote = `${[...address.split('.')].reverse().map(Number).map(hex(2)).join('')}:${hex(4)(port)}`;
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , to, state]) => to === remote && state === ESTABLISHED)
    .map(([, , , , , timer = '']) => timer.split(':')[0] ?? '');
}
