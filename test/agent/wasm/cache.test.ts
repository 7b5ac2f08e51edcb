import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { moduleCache, type ModuleRequest } from '../../../src/agent/wasm/cache.ts';
import { credentialsFor } from '../../../src/agent/wasm/oci-auth.ts';
import { parseImage } from '../../../src/agent/wasm/oci.ts';
import { type WasmOptions, wasmOptionsOf } from '../../../src/agent/wasm/options.ts';
import { moduleIn } from '../../../src/agent/wasm/unpack.ts';
import { openAuthority } from '../../../src/ca/authority.ts';
import { openServingCert } from '../../../src/ca/serving-cert.ts';
import { imagesOf, type Registry, startRegistry, tar } from '../../support/registry.ts';
import { headerModule } from '../../support/wasm-module.ts';
import { manualTime, newFolder, realTimers, recordingLog, recordingMeter, removeFolders } from '../../ca/support.ts';
import { systemClock } from '../support.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(removeFolders);

const MODULE = headerModule('x-wasm', 'yes');
const OTHER = headerModule('x-wasm', 'no');
const hex = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const quick = { setTimeout: (fn: () => void, ms: number) => realTimers.setTimeout(fn, ms > 60_000 ? ms : 1) };

function open(options: Partial<WasmOptions> = {}, clock = systemClock) {
  const log = recordingLog();
  const meter = recordingMeter();
  const directory = options.directory ?? join(newFolder(), 'wasm');
  const cache = moduleCache(
    {
      ...wasmOptionsOf({ WASM_INSECURE_REGISTRIES: '127.0.0.1' }, '/unused', []),
      maxRetries: 2,
      ...options,
      directory,
    },
    { clock, timers: quick, log: log.log, meter: meter.meter },
  );
  closers.push(() => cache.close());
  return { cache, log, meter, directory };
}

const requestOf = (url: string, more: Partial<ModuleRequest> = {}): ModuleRequest => ({
  url,
  sha256: '',
  policy: undefined,
  version: '1',
  dockerConfig: '',
  ...more,
});

async function http(listener: RequestListener): Promise<{ readonly url: string; readonly seen: string[] }> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(request.url ?? '');
    listener(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}`, seen };
}

describe('modules over HTTP', () => {
  it('are fetched once, whoever asks, and found again by the next process', async () => {
    const { url, seen } = await http((_request, response) => void response.end(MODULE));
    const { cache, directory, meter } = open();
    const request = requestOf(`${url}/m.wasm`, { sha256: hex(MODULE) });
    const paths = await Promise.all([cache.get(request), cache.get(request), cache.get(request)]);
    expect(new Set(paths).size).toBe(1);
    expect(readFileSync(paths[0] ?? '').equals(MODULE)).toBe(true);
    await cache.get(request);
    expect(await open({ directory }).cache.get(request)).toBe(paths[0]);
    expect(seen.length).toBe(1);
    expect(meter.value('istio_agent_wasm_remote_fetch_count', { result: 'success' })).toBe(1);
    expect(meter.value('istio_agent_wasm_cache_lookup_count', { hit: 'true' })).toBe(1);
  });

  it('may come compressed and in an archive, and elsewhere than where they were looked for', async () => {
    const { url } = await http((request, response) => {
      if (request.url === '/moved') response.writeHead(302, { location: '/there.tgz' }).end();
      else response.end(gzipSync(tar({ 'plugin.wasm': MODULE })));
    });
    expect(readFileSync(await open().cache.get(requestOf(`${url}/moved`))).equals(MODULE)).toBe(true);
  });

  it('are refused with another digest, and nothing is kept', async () => {
    const { url, seen } = await http((_request, response) => void response.end(OTHER));
    const { cache, directory } = open();
    await expect(cache.get(requestOf(url, { sha256: hex(MODULE) }))).rejects.toThrow(/digest is .* not/);
    expect(seen.length).toBe(1);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('are tried again when the server is at fault, and not when the request is', async () => {
    let failures = 2;
    const flaky = await http((_request, response) => {
      if (failures-- > 0) response.writeHead(503).end();
      else response.end(MODULE);
    });
    await open().cache.get(requestOf(flaky.url));
    expect(flaky.seen.length).toBe(3);
    const gone = await http((_request, response) => void response.writeHead(404).end());
    await expect(open().cache.get(requestOf(gone.url))).rejects.toThrow(/HTTP status 404/);
    expect(gone.seen.length).toBe(1);
  });

  it('are refused when they are too large, no module, cut off, or late', async () => {
    const { url } = await http((request, response) => {
      if (request.url === '/large') response.end(Buffer.concat([MODULE, Buffer.alloc(5000)]));
      else if (request.url === '/bomb') response.end(gzipSync(Buffer.alloc(100_000)));
      else if (request.url === '/text') response.end('<html>');
      else if (request.url === '/cut') {
        response.writeHead(200, { 'content-length': 100 });
        response.write('x');
        setImmediate(() => response.destroy());
      }
    });
    const { cache } = open({ maxModuleBytes: 4000, maxRetries: 0, requestTimeoutMs: 100 });
    const failure = (path: string) => cache.get(requestOf(url + path)).catch((error: Error) => error.message);
    expect(await failure('/large')).toContain('more than 4000 bytes');
    expect(await failure('/bomb')).toContain("can't be unpacked");
    expect(await failure('/text')).toContain('no Wasm module');
    expect(await failure('/cut')).toMatch(/aborted|cut off/);
    expect(await failure('/late')).toContain('no answer within 100 ms');
    await expect(cache.get(requestOf('ftp://x/y'))).rejects.toThrow('expected oci, http or https');
    await expect(cache.get(requestOf('nonsense'))).rejects.toThrow('not a URL');
  });

  it('go when they are old, or when there are too many', async () => {
    const { url, seen } = await http((_request, response) => void response.end(MODULE));
    const time = manualTime();
    const { cache, directory } = open({ maxCacheBytes: MODULE.length * 2, expiryMs: 60_000 }, time.clock);
    const get = (name: string) => cache.get(requestOf(`${url}/${name}`));
    for (const name of ['a', 'b']) {
      await get(name);
      time.advance(1000);
    }
    await get('a');
    time.advance(1000);
    await get('c');
    expect(readdirSync(directory).length).toBe(2);
    await get('a');
    expect(seen).toEqual(['/a', '/b', '/c']);
    time.advance(61_000);
    await get('d');
    expect(readdirSync(directory).length).toBe(1);
    writeFileSync(join(directory, 'somebody-elses'), 'x');
    time.advance(61_000);
    await get('e');
    expect(readdirSync(directory)).toContain('somebody-elses');
  });
});

describe('modules out of registries', () => {
  async function registry(options: Parameters<typeof startRegistry>[0] = {}): Promise<Registry> {
    const started = await startRegistry(options);
    closers.push(() => started.stop());
    return started;
  }

  it.each(Object.entries(imagesOf(MODULE)))('come out of a %s', async (name, image) => {
    const { host, push } = await registry();
    push('team/plugin', 'v1', image);
    const path = await open().cache.get(requestOf(`oci://${host}/team/plugin:v1`));
    expect(readFileSync(path).equals(MODULE), name).toBe(true);
  });

  it('come out of an index, the one for Wasm first', async () => {
    const { host, pushIndex } = await registry();
    const layers = (bytes: Buffer) => ({ layers: [{ mediaType: 'application/wasm', bytes }] });
    pushIndex('p', 'v1', [layers(OTHER), layers(MODULE)]);
    const path = await open().cache.get(requestOf(`oci://${host}/p:v1`));
    expect(readFileSync(path).equals(MODULE)).toBe(true);
  });

  it('are checked by the digests of layer, manifest and plugin', async () => {
    const started = await registry();
    const image = imagesOf(MODULE)['Wasm artifact'] ?? { layers: [] };
    const digest = started.push('p', 'v1', image);
    const { cache } = open();
    const url = `oci://${started.host}/p`;
    await cache.get(requestOf(`${url}:v1`, { sha256: digest.slice('sha256:'.length) }));
    await cache.get(requestOf(`${url}@${digest}`));
    await expect(cache.get(requestOf(`${url}:v1`, { sha256: hex(MODULE) }))).rejects.toThrow(/the image's digest is/);
    await expect(cache.get(requestOf(`${url}@sha256:${'0'.repeat(64)}`))).rejects.toThrow(/404/);
    started.corrupt(`sha256:${hex(MODULE)}`);
    await expect(open({ maxRetries: 0 }).cache.get(requestOf(`${url}:v1`))).rejects.toThrow(/not the one of digest/);
  });

  it.each(['bearer', 'basic'] as const)(
    'are pulled with the credentials of the plugin (%s), which nobody is told',
    async (scheme) => {
      const { host, push, seen } = await registry({ login: { scheme, userPassword: 'ann:s3cr3t' } });
      push('team/p', 'v1', imagesOf(MODULE)['Wasm artifact'] ?? { layers: [] });
      const { cache, log } = open();
      const auth = Buffer.from('ann:s3cr3t').toString('base64');
      const dockerConfig = JSON.stringify({ auths: { [`https://${host}/v1/`]: { auth } } });
      await cache.get(requestOf(`oci://${host}/team/p:v1`, { dockerConfig }));
      const wrong = JSON.stringify({ auths: { [host]: { username: 'ann', password: 'wr0ng' } } });
      const asked = seen.length;
      const failure = await cache
        .get(requestOf(`oci://${host}/team/p:v1`, { dockerConfig: wrong }))
        .catch((error: Error) => error.message);
      expect(failure).toMatch(/HTTP status 40[13]/);
      expect(seen.length).toBeGreaterThan(asked);
      await expect(cache.get(requestOf(`oci://${host}/team/p:v1`))).rejects.toThrow();
      expect(log.text() + failure).not.toMatch(/s3cr3t|wr0ng|granted/);
    },
  );

  it('are pulled again for a new version of the plugin where the tag may have moved', async () => {
    const { host, push } = await registry();
    const image = (bytes: Buffer) => ({ layers: [{ mediaType: 'application/wasm', bytes }] });
    push('p', 'latest', image(MODULE));
    const { cache } = open();
    const moduleOf = async (url: string, more: Partial<ModuleRequest>) =>
      readFileSync(await cache.get(requestOf(url, more)));
    await moduleOf(`oci://${host}/p`, {});
    push('p', 'v1', image(MODULE));
    await moduleOf(`oci://${host}/p:v1`, { policy: 'Always' });
    await moduleOf(`oci://${host}/p:v1`, {});
    push('p', 'latest', image(OTHER));
    push('p', 'v1', image(OTHER));
    expect((await moduleOf(`oci://${host}/p`, {})).equals(MODULE)).toBe(true);
    expect((await moduleOf(`oci://${host}/p`, { version: '2' })).equals(OTHER)).toBe(true);
    expect((await moduleOf(`oci://${host}/p`, { version: '3', policy: 'IfNotPresent' })).equals(OTHER)).toBe(true);
    expect((await moduleOf(`oci://${host}/p:v1`, { version: '2' })).equals(MODULE)).toBe(true);
    expect((await moduleOf(`oci://${host}/p:v1`, { version: '2', policy: 'Always' })).equals(OTHER)).toBe(true);
  });

  it('need a trusted certificate, or to be named as insecure', async () => {
    const ports = { clock: systemClock, timers: realTimers, log: recordingLog().log, meter: recordingMeter().meter };
    const authority = await openAuthority({ trustDomain: 'cluster.local' }, ports);
    const serving = await openServingCert(authority, { hosts: ['127.0.0.1'] }, ports);
    closers.push(
      () => authority.close(),
      () => serving.close(),
    );
    const tls = { key: serving.current.keyPem, cert: serving.current.certificatePem };
    for (const [name, started] of Object.entries({ own: await registry({ tls }), plain: await registry() })) {
      started.push('p', 'v1', imagesOf(MODULE)['Wasm artifact'] ?? { layers: [] });
      const request = requestOf(`oci://${started.host}/p:v1`);
      const strict = open({ insecureHosts: new Set(), maxRetries: 0 });
      await expect(strict.cache.get(request), name).rejects.toThrow();
      for (const insecure of ['*', started.host, '127.0.0.1'])
        await open({ insecureHosts: new Set([insecure]) }).cache.get(request);
    }
  });

  it('say what is wrong with an image that holds none', async () => {
    const { host, push } = await registry();
    push('p', 'v1', { layers: [{ mediaType: 'text/plain', bytes: Buffer.from('x') }] });
    push('q', 'v1', {
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', bytes: tar({ a: Buffer.from('x') }) }],
    });
    const { cache } = open();
    await expect(cache.get(requestOf(`oci://${host}/p:v1`))).rejects.toThrow(
      'no layer that can hold a Wasm module among: text/plain',
    );
    await expect(cache.get(requestOf(`oci://${host}/q:v1`))).rejects.toThrow('no Wasm module');
  });
});

describe('references of images', () => {
  it.each([
    ['ghcr.io/a/b:v1', { registry: 'ghcr.io', repository: 'a/b', tag: 'v1', digest: undefined }],
    ['localhost:5000/b', { registry: 'localhost:5000', repository: 'b', tag: undefined, digest: undefined }],
    ['a/b', { registry: 'registry-1.docker.io', repository: 'a/b' }],
    ['b:1', { registry: 'registry-1.docker.io', repository: 'library/b', tag: '1' }],
    ['docker.io/b', { registry: 'registry-1.docker.io', repository: 'library/b' }],
    [
      `x.io/b:t@sha256:${'a'.repeat(64)}`,
      { registry: 'x.io', repository: 'b', tag: 't', digest: `sha256:${'a'.repeat(64)}` },
    ],
  ])('%s', (text, expected) => {
    expect(parseImage(text)).toMatchObject(expected);
  });
  it.each(['', 'x.io/', 'x.io/UPPER', 'x.io/a@sha256:short', 'x.io/a b'])('"%s" is none', (text) => {
    expect(() => parseImage(text)).toThrow(/not the reference of an image/);
  });
});

describe('docker credentials', () => {
  it('are those of the entry that names most of the path', () => {
    const of = (user: string) => ({ username: user, password: 'p' });
    const config = JSON.stringify({
      auths: { 'x.io': of('a'), 'x.io/team': of('b'), 'https://index.docker.io/v1/': of('hub'), 'y.io': { auth: '!' } },
    });
    const user = (host: string, repository: string) => credentialsFor(config, host, repository)?.user;
    expect(user('x.io', 'other/p')).toBe('a');
    expect(user('x.io', 'team/p')).toBe('b');
    expect(user('x.io', 'teams/p')).toBe('a');
    expect(user('registry-1.docker.io', 'library/p')).toBe('hub');
    expect(user('y.io', 'p')).toBeUndefined();
    expect(credentialsFor('{', 'x.io', 'p')).toBeUndefined();
  });
});

describe('archives', () => {
  it('hold the module under its name, or as the only one', () => {
    expect(moduleIn(tar({ 'a.wasm': OTHER, 'plugin.wasm': MODULE }), 1e6).equals(MODULE)).toBe(true);
    expect(moduleIn(tar({ 'dir/a.wasm': MODULE }), 1e6).equals(MODULE)).toBe(true);
    expect(() => moduleIn(tar({ 'a.wasm': OTHER, 'b.wasm': MODULE }), 1e6)).toThrow('no Wasm module');
  });
});
