// Wasm modules out of container registries (OCI distribution specification), in each of the forms in which they are put there.
// In: an image's reference, perhaps a docker configuration with credentials; out: the module. Credentials are never logged.
// Called by fetch.ts.

import { createHash } from 'node:crypto';
import { authorization, type Challenge, challengeOf, credentialsFor, tokenRequest } from './oci-auth.ts';
import { checkStatus, FinalError, get, type Got } from './http.ts';
import { moduleIn } from './unpack.ts';

export interface ImageReference {
  /** host[:port] of the registry. */
  readonly registry: string;
  readonly repository: string;
  readonly tag: string | undefined;
  /** `sha256:…` */
  readonly digest: string | undefined;
}

const DOCKER_HUB = 'registry-1.docker.io';
const NAME = /^[a-z0-9]+(?:(?:[._]|__|-+|\/)[a-z0-9]+)*$/;

/** `HOST/REPOSITORY[:TAG][@DIGEST]`. Throws when it is none. */
export function parseImage(text: string): ImageReference {
  const [, path = '', tag, digest] = /^([^@]+?)(?::([\w][\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(text) ?? [];
  const slash = path.indexOf('/');
  const first = slash < 0 ? '' : path.slice(0, slash);
  const hasHost = first.includes('.') || first.includes(':') || first === 'localhost';
  const isHub = !hasHost || first === 'docker.io' || first === 'index.docker.io';
  const rest = hasHost ? path.slice(slash + 1) : path;
  const repository = isHub && !rest.includes('/') ? `library/${rest}` : rest;
  if (!NAME.test(repository)) throw new FinalError(`oci://${text}: not the reference of an image`);
  return { registry: isHub ? DOCKER_HUB : first, repository, tag, digest };
}

export interface PullOptions {
  readonly insecure: boolean;
  readonly timeoutMs: number;
  readonly maxModuleBytes: number;
  /** The text of a docker config.json; empty if there is none. */
  readonly dockerConfig: string;
}

export interface PulledModule {
  readonly module: Buffer;
  /** Of the manifest that the reference led to, in hex. */
  readonly manifestDigest: string;
}

const MANIFEST_TYPES = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
].join(', ');
const MAX_MANIFEST = 4 * 1024 * 1024;

interface Descriptor {
  readonly mediaType?: string;
  readonly digest?: string;
  readonly size?: number;
  readonly platform?: { readonly os?: string; readonly architecture?: string };
}

interface Manifest {
  readonly manifests?: readonly Descriptor[];
  readonly layers?: readonly Descriptor[];
}

/** The digest that a reference leads to now; for telling whether a tag has moved. */
export async function pull(image: ImageReference, options: PullOptions): Promise<PulledModule> {
  const registry = new Registry(image, options);
  const first = await registry.manifest(image.digest ?? image.tag ?? 'latest');
  const { manifests } = first.value;
  const chosen = manifests === undefined ? first.value : (await registry.manifest(platformOf(manifests))).value;
  const layer = layerOf(chosen, image);
  return { module: moduleIn(await registry.blob(layer), options.maxModuleBytes), manifestDigest: first.digest };
}

/** Of several images of one name, the one made for Wasm; modules don't depend on the rest. */
function platformOf(manifests: readonly Descriptor[]): string {
  const isWasm = ({ platform }: Descriptor): boolean =>
    platform?.architecture?.startsWith('wasm') === true || platform?.os === 'wasip1';
  const isUsual = ({ platform }: Descriptor): boolean => platform?.os === 'linux' && platform.architecture === 'amd64';
  const found = manifests.find(isWasm) ?? manifests.find(isUsual) ?? manifests[0];
  if (found?.digest === undefined) throw new FinalError('the index lists no image');
  return found.digest;
}

const MODULE_TYPES: ReadonlySet<string> = new Set([
  'application/vnd.module.wasm.content.layer.v1+wasm',
  'application/wasm',
]);
const ARCHIVE_TYPES: ReadonlySet<string> = new Set([
  'application/vnd.docker.image.rootfs.diff.tar.gzip',
  'application/vnd.oci.image.layer.v1.tar+gzip',
  'application/vnd.oci.image.layer.v1.tar',
]);

/** The module's own layer, else the last of the image's file system, which is what a build copied in last. */
function layerOf({ layers = [] }: Manifest, image: ImageReference): Descriptor {
  const own = layers.find(({ mediaType = '' }) => MODULE_TYPES.has(mediaType));
  const archive = layers.filter(({ mediaType = '' }) => ARCHIVE_TYPES.has(mediaType)).at(-1);
  const found = own ?? archive;
  if (found === undefined) {
    const types = layers.map(({ mediaType = 'none' }) => mediaType).join(', ');
    throw new FinalError(`${image.repository}: no layer that can hold a Wasm module among: ${types || 'none'}`);
  }
  return found;
}

class Registry {
  readonly #image: ImageReference;
  readonly #options: PullOptions;
  #authorization: string | undefined;

  constructor(image: ImageReference, options: PullOptions) {
    this.#image = image;
    this.#options = options;
  }

  async manifest(reference: string): Promise<{ readonly value: Manifest; readonly digest: string }> {
    const got = await this.#get(`manifests/${reference}`, MANIFEST_TYPES, MAX_MANIFEST);
    const digest = sha256(got.body);
    if (reference.startsWith('sha256:') && reference !== `sha256:${digest}`)
      throw new FinalError(`${this.#image.repository}: the manifest is not the one of digest ${reference}`);
    try {
      return { value: JSON.parse(got.body.toString('utf8')) as Manifest, digest };
    } catch {
      throw new FinalError(`${this.#image.repository}: the manifest is not JSON`);
    }
  }

  async blob({ digest = '', size = 0 }: Descriptor): Promise<Buffer> {
    const { maxModuleBytes } = this.#options;
    if (size > maxModuleBytes) throw new FinalError(`${this.#image.repository}: the layer has ${size} bytes`);
    const got = await this.#get(`blobs/${digest}`, '*/*', maxModuleBytes);
    if (digest !== `sha256:${sha256(got.body)}`)
      throw new FinalError(`${this.#image.repository}: the layer is not the one of digest ${digest}`);
    return got.body;
  }

  /** Asks without credentials first; a registry says what it wants. */
  async #get(path: string, accept: string, limit: number): Promise<Got> {
    const { registry, repository } = this.#image;
    const ask = (): Promise<Got> =>
      get(`https://${registry}/v2/${repository}/${path}`, {
        ...this.#options,
        limit,
        headers: { accept, ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }) },
      });
    let got = await ask();
    const challenge = got.status === 401 ? challengeOf(got.headers['www-authenticate'] ?? '') : undefined;
    if (challenge !== undefined) {
      this.#authorization = await this.#authorize(challenge);
      got = await ask();
    }
    checkStatus(got, `${registry}/${repository}`);
    return got;
  }

  async #authorize(challenge: Challenge): Promise<string> {
    const { registry, repository } = this.#image;
    const credentials = credentialsFor(this.#options.dockerConfig, registry, repository);
    if (challenge.scheme === 'basic') {
      if (credentials === undefined) throw new FinalError(`${registry}/${repository}: credentials are needed`);
      return authorization(credentials);
    }
    const { url, headers } = tokenRequest(challenge, repository, credentials);
    const got = await get(url, { ...this.#options, limit: MAX_MANIFEST, headers });
    checkStatus(got, `token for ${registry}/${repository}`);
    const answer = JSON.parse(got.body.toString('utf8')) as { readonly token?: string; readonly access_token?: string };
    const token = answer.token ?? answer.access_token;
    if (typeof token !== 'string') throw new FinalError(`${registry}/${repository}: no token was issued`);
    return `Bearer ${token}`;
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
