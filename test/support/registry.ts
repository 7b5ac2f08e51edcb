// A container registry of one's own, with as much of the distribution API as pulling needs: manifests, blobs, tokens.

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecure } from 'node:https';
import { gzipSync } from 'node:zlib';

export interface Layer {
  readonly mediaType: string;
  readonly bytes: Buffer;
}

export interface Image {
  readonly layers: readonly Layer[];
  /** `oci` or `docker` media types. */
  readonly form?: 'oci' | 'docker' | undefined;
}

export interface RegistryOptions {
  /** With a certificate, else plain HTTP. */
  readonly tls?: { readonly key: string; readonly cert: string } | undefined;
  /** `user:password`; with it every request needs a token, or these directly. */
  readonly login?: { readonly scheme: 'bearer' | 'basic'; readonly userPassword: string } | undefined;
}

export interface Registry {
  readonly host: string;
  /** Paths asked for, in order, and whether with credentials. */
  readonly seen: string[];
  /** Makes the registry answer with this status to everything; undefined ends it. */
  fail(status: number | undefined): void;
  push(repository: string, tag: string, image: Image): string;
  /** An index that leads to images, the second of which is for Wasm. */
  pushIndex(repository: string, tag: string, images: readonly Image[]): string;
  /** Serves other bytes under a digest. */
  corrupt(digest: string): void;
  stop(): void;
}

const MANIFEST = {
  oci: 'application/vnd.oci.image.manifest.v1+json',
  docker: 'application/vnd.docker.distribution.manifest.v2+json',
} as const;

export async function startRegistry({ tls, login }: RegistryOptions = {}): Promise<Registry> {
  const blobs = new Map<string, Buffer>();
  const manifests = new Map<string, { readonly type: string; readonly body: Buffer }>();
  const seen: string[] = [];
  let failing: number | undefined;
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const { url = '', headers } = request;
    seen.push(`${headers.authorization === undefined ? '' : 'with '}${url}`);
    if (failing !== undefined) return void response.writeHead(failing).end();
    if (login !== undefined && !admitted(url, headers.authorization, response)) return;
    const [, repository = '', kind = '', reference = ''] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(url) ?? [];
    if (kind === 'manifests') {
      const found = manifests.get(`${repository}/${reference}`);
      if (found !== undefined) return void response.writeHead(200, { 'content-type': found.type }).end(found.body);
    }
    const blob = kind === 'blobs' ? blobs.get(reference) : undefined;
    // As large registries do: the bytes are elsewhere.
    if (blob !== undefined) return void response.writeHead(307, { location: `/store/${reference}` }).end();
    const stored = blobs.get(url.replace('/store/', ''));
    if (stored !== undefined) response.end(stored);
    else response.writeHead(404).end();
  };
  const admitted = (url: string, authorization: string | undefined, response: ServerResponse): boolean => {
    const basic = `Basic ${Buffer.from(login?.userPassword ?? '').toString('base64')}`;
    if (url.startsWith('/token')) {
      if (authorization === basic && url.includes('scope=repository%3A')) response.end('{"token":"granted"}');
      else response.writeHead(403).end();
      return false;
    }
    if (authorization === (login?.scheme === 'basic' ? basic : 'Bearer granted') || url.startsWith('/store/'))
      return true;
    const challenge =
      login?.scheme === 'basic' ? 'Basic realm="r"' : `Bearer realm="${scheme}://${host}/token",service="r"`;
    response.writeHead(401, { 'www-authenticate': challenge }).end();
    return false;
  };
  const server = tls === undefined ? createServer(handle) : createSecure(tls, handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as { port: number }).port}`;
  const scheme = tls === undefined ? 'http' : 'https';
  const store = (bytes: Buffer): string => {
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    blobs.set(digest, bytes);
    return digest;
  };
  const publish = (repository: string, tag: string, type: string, value: object): string => {
    const body = Buffer.from(JSON.stringify(value));
    const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`;
    manifests.set(`${repository}/${tag}`, { type, body });
    manifests.set(`${repository}/${digest}`, { type, body });
    return digest;
  };
  const push = (repository: string, tag: string, { layers, form = 'oci' }: Image): string =>
    publish(repository, tag, MANIFEST[form], {
      schemaVersion: 2,
      mediaType: MANIFEST[form],
      config: { mediaType: 'application/json', digest: store(Buffer.from('{}')), size: 2 },
      layers: layers.map(({ mediaType, bytes }) => ({ mediaType, digest: store(bytes), size: bytes.length })),
    });
  return {
    host,
    seen,
    fail: (status) => {
      failing = status;
    },
    push,
    pushIndex: (repository, tag, images) =>
      publish(repository, tag, 'application/vnd.oci.image.index.v1+json', {
        schemaVersion: 2,
        manifests: images.map((image, index) => ({
          mediaType: MANIFEST.oci,
          digest: push(repository, `${tag}-${index}`, image),
          platform: index === 1 ? { os: 'wasip1', architecture: 'wasm' } : { os: 'linux', architecture: 'arm64' },
        })),
      }),
    corrupt: (digest) => void blobs.set(digest, Buffer.from('other')),
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** An archive with these files, as `tar` writes it. */
export function tar(files: Readonly<Record<string, Buffer>>): Buffer {
  const parts = Object.entries(files).flatMap(([name, content]) => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write('0000644\0', 100);
    header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write('        ', 148);
    header.write('0', 156);
    header.write('ustar\0', 257);
    const sum = header.reduce((total, octet) => total + octet, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

/** The forms in which an image can hold a module. */
export function imagesOf(module: Buffer): Readonly<Record<string, Image>> {
  const archive = tar({ 'etc/other': Buffer.from('x'), './plugin.wasm': module });
  return {
    'compatible docker': {
      form: 'docker',
      layers: [{ mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip', bytes: gzipSync(archive) }],
    },
    'compatible OCI': {
      layers: [
        {
          mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
          bytes: gzipSync(tar({ base: Buffer.from('base') })),
        },
        { mediaType: 'application/vnd.oci.image.layer.v1.tar', bytes: archive },
      ],
    },
    'Wasm image': { layers: [{ mediaType: 'application/vnd.module.wasm.content.layer.v1+wasm', bytes: module }] },
    'Wasm artifact': { layers: [{ mediaType: 'application/wasm', bytes: module }] },
  };
}
