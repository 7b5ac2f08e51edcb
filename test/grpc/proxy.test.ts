import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcp, type Socket } from 'node:net';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { authoritySource } from '../../src/agent/certificate-sources.ts';
import { caClient } from '../../src/agent/ca-client.ts';
import { openTunnel, proxyFor } from '../../src/grpc/proxy.ts';
import { ownConfig, startControlPlane, systemClock } from '../agent/support.ts';
import { realTimers, removeFolders } from '../ca/support.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});
afterAll(removeFolders);

describe('the proxy on the way to a server', () => {
  const of = (address: string, env: Record<string, string>) => proxyFor(address, env)?.host;

  it('is the first that the environment names', () => {
    const server = 'istiod.istio-system.svc:15012';
    expect(of(server, {})).toBeUndefined();
    expect(of(server, { http_proxy: 'http://c', https_proxy: 'http://b', grpc_proxy: 'http://a' })).toBe('a');
    expect(of(server, { http_proxy: 'http://c', https_proxy: 'http://b' })).toBe('b');
    expect(of(server, { https_proxy: 'https://b' })).toBeUndefined();
    expect(of(server, { https_proxy: 'nonsense' })).toBeUndefined();
    expect(proxyFor(server, { https_proxy: 'http://me:p%40ss@proxy.example:3128' })).toEqual({
      host: 'proxy.example',
      port: 3128,
      authorization: `Basic ${btoa('me:p@ss')}`,
    });
  });

  it.each([
    ['istiod.istio-system.svc:15012', 'svc', false],
    ['istiod.istio-system.svc:15012', '.svc', false],
    ['istiod.istio-system.svc:15012', 'vc', true],
    ['istiod.example.com:15012', 'other.com, example.com', false],
    ['10.1.2.3:15012', '10.0.0.0/8', false],
    ['11.1.2.3:15012', '10.0.0.0/8', true],
    ['[fd00::1]:15012', '10.0.0.0/8', true],
    ['10.1.2.3:15012', '10.1.2.3', false],
    ['istiod.example.com:15012', '*', false],
    ['istiod.example.com:15012', '', true],
  ])('%s with no_proxy=%s: %s', (address, direct, used) => {
    expect(of(address, { https_proxy: 'http://proxy', no_proxy: direct }) !== undefined).toBe(used);
  });
});

describe('a tunnel', () => {
  /** A proxy that notes what it is asked, and connects only those that know the password. */
  async function startProxy() {
    const asked: string[] = [];
    const proxy = createServer();
    const sockets = new Set<Socket>();
    proxy.on('connection', (socket: Socket) => sockets.add(socket));
    proxy.on('connect', (request, client, head) => {
      asked.push(`${request.url} ${request.headers['proxy-authorization']}`);
      if (request.headers['proxy-authorization'] !== `Basic ${btoa('me:right')}`) {
        client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
        return;
      }
      const [host = '', port = ''] = (request.url ?? '').split(':');
      const far = connect(Number(port), host, () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        far.write(head);
        far.pipe(client).pipe(far);
      });
      for (const socket of [far, client]) socket.on('error', () => undefined);
      sockets.add(far);
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    closers.push(() => {
      proxy.close();
      for (const socket of sockets) socket.destroy();
    });
    return { asked, port: (proxy.address() as AddressInfo).port };
  }

  it('carries the call for a certificate, and says why not', async () => {
    const plane = await startControlPlane();
    closers.push(() => plane.stop());
    const { asked, port } = await startProxy();
    const sign = async (password: string) => {
      const config = await ownConfig(plane, { env: { https_proxy: `http://me:${password}@127.0.0.1:${port}` } });
      const { tokenFile, clusterId } = config;
      const identity = { tokenFile, clusterId, headers: {}, providedDirectory: undefined, current: () => undefined };
      const client = caClient(config.ca, { ...identity, clock: systemClock }, { timers: realTimers, random: () => 0 });
      return authoritySource(config.certificates, client).obtain();
    };
    expect((await sign('right')).certificatePem).toContain('BEGIN CERTIFICATE');
    expect(asked).toEqual([`127.0.0.1:${plane.port} Basic ${btoa('me:right')}`]);
    const refusal: unknown = await sign('wrong').catch((error: unknown) => error);
    expect(String(refusal)).toContain(`the proxy 127.0.0.1:${port} answered "HTTP/1.1 407`);
    expect(String(refusal)).not.toContain('wrong');
  });

  it('is not waited for for ever, nor made with one who speaks something else', async () => {
    let greeting: string | undefined;
    const server = createTcp((socket) => {
      socket.on('error', () => undefined).resume();
      if (greeting !== undefined) socket.end(greeting);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const proxy = { host: '127.0.0.1', port, authorization: undefined };
    await expect(openTunnel('istiod:15012', proxy, 50)).rejects.toThrow(/made no connection within 50 ms/);
    greeting = 'SSH-2.0-me\r\n\r\n';
    await expect(openTunnel('istiod:15012', proxy, 5000)).rejects.toThrow(/answered "SSH-2.0-me"/);
    greeting = '';
    await expect(openTunnel('istiod:15012', proxy, 5000)).rejects.toThrow(/closed the connection/);
    server.close();
    await once(server, 'close');
    await expect(openTunnel('istiod:15012', proxy, 5000)).rejects.toThrow(/not reached: .*ECONNREFUSED/);
  });
});
