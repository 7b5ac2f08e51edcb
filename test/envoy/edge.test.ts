import { createServer, type Server } from 'node:https';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, startHttpApp, type TestApp } from '../support/apps.ts';
import { type Issued, issue } from '../support/certificates.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { istio, NAMESPACE, to } from './fixtures.ts';

const envoy = newestEnvoy();

const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe.skipIf(envoy === '')('ways in and out', () => {
  let mesh: Mesh<LocalControlPlane>;
  let outside: TestApp;
  let secure: Server;
  let authority: Issued;
  let shop: Issued;
  const secureSeen: { readonly host: string; readonly servername: string }[] = [];

  beforeAll(async () => {
    mesh = await startMesh({
      envoy,
      workloads: [
        { name: 'gateway', role: 'router', labels: { istio: 'ingressgateway' } },
        {
          name: 'client',
          egress: [
            { name: 'http', number: 8080 },
            { name: 'http-plain', number: 8888 },
            { name: 'http-tls', number: 8443, hosts: ['*/secure.example'] },
          ],
        },
        { name: 'web', service: 'web', ports: [{ name: 'http', number: 8080 }] },
      ],
    });
    const folder = mesh.plane.folder.sub('outside');
    authority = issue(folder, 'outside-root', 'DNS:root.example');
    shop = issue(folder, 'shop', 'DNS:shop.example', authority);
    outside = await startHttpApp({ name: 'outside', address: mesh.at.other(200), port: 8888 });
    const server = issue(folder, 'secure', 'DNS:secure.example', authority);
    secure = createServer({ cert: server.cert, key: server.key }, (request, response) => {
      const { servername } = request.socket as unknown as { readonly servername: string | false };
      secureSeen.push({ host: request.headers.host ?? '', servername: String(servername) });
      response.end('secret');
    });
    await new Promise<void>((resolve) => void secure.listen(8443, mesh.at.other(201), resolve));
  });
  afterAll(async () => {
    await outside?.stop();
    secure?.closeAllConnections();
    await new Promise((resolve) => (secure === undefined ? resolve(undefined) : secure.close(resolve)));
    await mesh?.finish();
  });

  describe('a gateway', () => {
    const gateway = (servers: readonly object[]): object =>
      istio('Gateway', 'front', {
        selector: { istio: 'ingressgateway' },
        servers: servers.map((server) => ({ bind: mesh.at.pod('gateway'), ...server })),
      });
    const site = istio('VirtualService', 'site', {
      hosts: ['shop.example'],
      gateways: ['front'],
      http: [
        { match: [{ uri: { prefix: '/shop/' } }], rewrite: { uri: '/' }, route: [to('web')] },
        { match: [{ uri: { exact: '/teapot' } }], directResponse: { status: 418 } },
      ],
    });
    const at = () => ({ address: mesh.at.pod('gateway') });
    const host = { host: 'shop.example' };

    it('lets HTTP in, for its hosts and routes alone', async () => {
      await mesh.apply('front', [
        gateway([{ port: { number: 8000, protocol: 'HTTP', name: 'http' }, hosts: ['shop.example'] }]),
        site,
      ]);
      const answer = await call({ ...at(), port: 8000, path: '/shop/cart', headers: host });
      expect(answer.status).toBe(200);
      expect(answer.echo()).toMatchObject({ app: 'web', path: '/cart' });
      // Mutual TLS from the gateway on: the server sees who let the request in.
      expect(String(answer.echo().headers['x-forwarded-client-cert'])).toContain('/sa/gateway');
      expect(answer.headers['server']).toBe('istio-envoy');
      expect((await call({ ...at(), port: 8000, path: '/teapot', headers: host })).status).toBe(418);
      expect((await call({ ...at(), port: 8000, path: '/other', headers: host })).status).toBe(404);
      expect((await call({ ...at(), port: 8000, path: '/shop/', headers: { host: 'else.example' } })).status).toBe(404);
    });

    const secret = (data: Record<string, string>): object => ({
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/tls',
      metadata: { name: 'shop-cert', namespace: NAMESPACE },
      data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, base64(value)])),
    });

    it('lets HTTPS in with the certificate of a Secret, and takes a new one', async () => {
      const https = gateway([
        {
          port: { number: 8443, protocol: 'HTTPS', name: 'https' },
          hosts: ['shop.example'],
          tls: { mode: 'SIMPLE', credentialName: 'shop-cert' },
        },
        {
          port: { number: 8000, protocol: 'HTTP', name: 'http' },
          hosts: ['shop.example'],
          tls: { httpsRedirect: true },
        },
      ]);
      await mesh.apply('front', [https, site, secret({ 'tls.crt': shop.cert, 'tls.key': shop.key })]);
      const tls = { ca: authority.cert, servername: 'shop.example' };
      const ask = () => call({ ...at(), port: 8443, path: '/shop/x', headers: host, tls });
      await expect.poll(() => ask().then(({ status }) => status), { timeout: 5000 }).toBe(200);
      expect((await ask()).echo().headers['x-forwarded-proto']).toBe('https');
      const redirected = await call({ ...at(), port: 8000, path: '/shop/x', headers: host });
      expect([redirected.status, redirected.headers.location]).toEqual([301, 'https://shop.example/shop/x']);
      await expect(
        call({ ...at(), port: 8443, headers: host, tls: { ...tls, servername: 'else.example' } }),
      ).rejects.toThrow();

      const renewed = issue(mesh.plane.folder.sub('renewed'), 'renewed', 'DNS:shop.example');
      await mesh.apply('front', [https, site, secret({ 'tls.crt': renewed.cert, 'tls.key': renewed.key })]);
      const fresh = () =>
        call({ ...at(), port: 8443, path: '/shop/x', headers: host, tls: { ...tls, ca: renewed.cert } });
      await expect.poll(() => fresh().then(({ status }) => status), { timeout: 5000 }).toBe(200);
    });

    it('asks for a client certificate where it is told to', async () => {
      const mutual = gateway([
        {
          port: { number: 8444, protocol: 'HTTPS', name: 'mutual' },
          hosts: ['shop.example'],
          tls: { mode: 'MUTUAL', credentialName: 'shop-cert', subjectAltNames: ['partner.example'] },
        },
      ]);
      const data = { 'tls.crt': shop.cert, 'tls.key': shop.key, 'ca.crt': authority.cert };
      await mesh.apply('front', [mutual, site, secret(data)]);
      const folder = mesh.plane.folder.sub('partners');
      const partner = issue(folder, 'partner', 'DNS:partner.example', authority);
      const rival = issue(folder, 'rival', 'DNS:rival.example', authority);
      const tls = { ca: authority.cert, servername: 'shop.example' };
      const ask = (who?: Issued) =>
        call({
          ...at(),
          port: 8444,
          path: '/shop/x',
          headers: host,
          tls: { ...tls, ...(who && { cert: who.cert, key: who.key }) },
        });
      await expect.poll(() => ask(partner).then(({ status }) => status), { timeout: 5000 }).toBe(200);
      await expect(ask()).rejects.toThrow();
      await expect(ask(rival)).rejects.toThrow();
    });
  });

  describe('a ServiceEntry', () => {
    const entry = (name: string, spec: object): object =>
      istio('ServiceEntry', name, { location: 'MESH_EXTERNAL', ...spec });

    it('names servers by address', async () => {
      await mesh.apply('out', [
        entry('plain', {
          hosts: ['plain.example'],
          resolution: 'STATIC',
          ports: [{ number: 8888, name: 'http', protocol: 'HTTP' }],
          endpoints: [{ address: mesh.at.other(200) }],
        }),
      ]);
      const answer = await mesh.call('client', { host: 'plain.example', port: 8888 });
      expect(answer.status).toBe(200);
      expect(answer.echo()).toMatchObject({ app: 'outside', headers: { host: 'plain.example' } });
      expect(answer.echo().headers['x-forwarded-client-cert']).toBeUndefined();
    });

    it.each(['DNS', 'DNS_ROUND_ROBIN'])('names servers by name, resolution %s', async (resolution) => {
      const local = await startHttpApp({ name: 'by-name' });
      await mesh.apply('out', [
        entry('named', {
          hosts: ['named.example'],
          resolution,
          ports: [{ number: 8888, name: 'http', protocol: 'HTTP', targetPort: local.port }],
          endpoints: [{ address: 'localhost' }],
        }),
      ]);
      await expect
        .poll(() => mesh.call('client', { host: 'named.example', port: 8888 }).then(({ body }) => body), {
          timeout: 5000,
        })
        .toContain('by-name');
      await local.stop();
    });

    it('with TLS origination: plain HTTP from the application, TLS to the server, whose name is checked', async () => {
      const port = { number: 8443, name: 'http', protocol: 'HTTP' };
      const service = (address: string): object =>
        entry('secure', { hosts: ['secure.example'], resolution: 'STATIC', ports: [port], endpoints: [{ address }] });
      const tls = { mode: 'SIMPLE', caCertificates: authority.certFile };
      const rule = (more: object): object =>
        istio('DestinationRule', 'secure', { host: 'secure.example', trafficPolicy: { tls: { ...tls, ...more } } });
      const ask = () => mesh.call('client', { host: 'secure.example', port: 8443 });
      await mesh.apply('out', [service(mesh.at.other(201)), rule({})]);
      await expect
        .poll(() => ask().then(({ status, body }) => [status, body]), { timeout: 5000 })
        .toEqual([200, 'secret']);
      expect(secureSeen.at(-1)).toEqual({ host: 'secure.example', servername: 'secure.example' });
      await mesh.apply('out', [
        service(mesh.at.other(201)),
        rule({ subjectAltNames: ['other.example'], sni: 'other.example' }),
      ]);
      await expect.poll(() => ask().then(({ status }) => status), { timeout: 5000 }).toBe(503);
    });
  });
});
