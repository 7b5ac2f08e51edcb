// The certificate authority: holds the signer in use, signs, and replaces the signer when its files or its age demand it.
// In: CSRs with the identities of callers already authenticated; out: chains. Listeners hear of every new signer or root.
// Called by service (workloads), serving-cert (the control plane itself), and server.ts (start, stop, root distribution).

import type { KeyObject } from 'node:crypto';
import type { Clock, Gauge, Log, Meter, Timers } from '../lib/ports.ts';
import { readBundleFiles } from './bundle-files.ts';
import { readCsr } from './csr.ts';
import { CaError, reasonOf } from './errors.ts';
import { watchDirectory } from './file-watch.ts';
import type { KeyChoice } from './keys.ts';
import { bundleOf, splitCertificates } from './pem.ts';
import { memoryRootStore, type RootMaterial, type RootStore } from './root-store.ts';
import { openRoot, type RootPolicy, refreshRoot } from './self-signed.ts';
import { checkNames, DEFAULT_LIFETIME, issue, type LifetimePolicy, lifetimeFor } from './sign.ts';
import { loadSigner, type Signer, type SignerTexts } from './signer.ts';

export interface AuthorityOptions {
  readonly trustDomain: string;
  /** Directory of a plug-in CA; a directory that is empty or absent means self-signed. */
  readonly bundleDirectory?: string;
  /** Keeps the self-signed root; without it the root lives in memory. */
  readonly rootStore?: RootStore;
  readonly rootKey?: KeyChoice;
  readonly rootLifetimeDays?: number;
  readonly lifetime?: Partial<LifetimePolicy>;
  readonly checkIntervalMs?: number;
}

export interface AuthorityPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly meter: Meter;
}

export interface AuthorityChange {
  readonly rootsChanged: boolean;
}

type Source =
  | { readonly kind: 'plugged-in'; readonly directory: string }
  | {
      readonly kind: 'self-signed';
      readonly store: RootStore;
      readonly policy: RootPolicy;
      readonly extraRoots: string;
    };

const ROOT_LIFETIME_DAYS = 3650;
const CHECK_INTERVAL_MS = 3600_000;

/** Makes or loads the signer. Throws CaError if a bundle is there but cannot be used. */
export async function openAuthority(options: AuthorityOptions, ports: AuthorityPorts): Promise<Authority> {
  const { bundleDirectory } = options;
  const files = bundleDirectory === undefined ? undefined : await readBundleFiles(bundleDirectory);
  const lifetime = { ...DEFAULT_LIFETIME, ...options.lifetime };
  if (files?.kind === 'whole' && bundleDirectory !== undefined) {
    const authority = new Authority(
      { kind: 'plugged-in', directory: bundleDirectory },
      loadSigner(files.texts),
      lifetime,
      ports,
    );
    authority.watch(CHECK_INTERVAL_MS);
    return authority;
  }
  const store = options.rootStore ?? memoryRootStore();
  const policy: RootPolicy = {
    organization: options.trustDomain,
    key: options.rootKey ?? { kind: 'ecdsa' },
    lifetimeDays: options.rootLifetimeDays ?? ROOT_LIFETIME_DAYS,
  };
  const extraRoots = files?.kind === 'none' ? files.extraRoots : '';
  await openRoot(store, policy, ports.clock.now());
  const root = await refreshRoot(store, policy, ports.clock.now());
  if (root === undefined) throw new CaError('STATE_DAMAGED', 'the root was removed from its store while starting');
  const source: Source = { kind: 'self-signed', store, policy, extraRoots };
  const authority = new Authority(source, loadSigner(textsOfRoot(root, extraRoots)), lifetime, ports);
  authority.watch(options.checkIntervalMs ?? CHECK_INTERVAL_MS);
  return authority;
}

function textsOfRoot(root: RootMaterial, extraRoots: string): SignerTexts {
  return { certificate: root.certificate, key: root.key, chain: '', roots: bundleOf(root.certificate, extraRoots) };
}

export class Authority {
  readonly #source: Source;
  readonly #lifetime: LifetimePolicy;
  readonly #ports: AuthorityPorts;
  readonly #log: Log;
  readonly #listeners = new Set<(change: AuthorityChange) => void>();
  readonly #expiry: Gauge;
  #signer: Signer;
  #stops: (() => void)[] = [];
  #checking: Promise<void> = Promise.resolve();

  constructor(source: Source, signer: Signer, lifetime: LifetimePolicy, ports: AuthorityPorts) {
    this.#source = source;
    this.#signer = signer;
    this.#lifetime = lifetime;
    this.#ports = ports;
    this.#log = ports.log.child('ca');
    this.#expiry = ports.meter.gauge(
      'citadel_server_root_cert_expiry_timestamp',
      'When the signing certificate ends, seconds since the epoch.',
    );
    this.#expiry.set(signer.notAfter / 1000);
    this.#log.info({ source: source.kind, subject: signer.certificate.subject }, 'certificate authority ready');
  }

  get source(): Source['kind'] {
    return this.#source.kind;
  }

  /** The PEM roots that peers must trust. */
  get rootBundle(): string {
    return this.#signer.rootBundle;
  }

  /** End of the signing certificate, milliseconds since the epoch. */
  get signerExpiry(): number {
    return this.#signer.notAfter;
  }

  /** Certifies the CSR's key for the caller: leaf, intermediates, and last the root bundle. Throws CaError. */
  async certify(csrPem: string, identities: readonly string[], lifetimeSeconds: number): Promise<string[]> {
    const csr = readCsr(csrPem);
    checkNames(csr, identities);
    const seconds = lifetimeFor(lifetimeSeconds, this.#lifetime);
    const signer = this.#signer;
    const wantsCommonName = (csr.commonName ?? '') !== '';
    const request = { publicKey: csr.publicKey, identities, wantsCommonName, lifetimeSeconds: seconds };
    const leaf = await issue(signer, request, this.#ports.clock.now());
    return [leaf, ...signer.intermediates, signer.rootBundle];
  }

  /** Certifies a key of this process for names of its own: leaf and intermediates. Throws CaError. */
  async certifyOwn(publicKey: KeyObject, names: readonly string[], lifetimeSeconds: number): Promise<string[]> {
    const signer = this.#signer;
    const request = { publicKey, identities: names, wantsCommonName: false, lifetimeSeconds };
    const leaf = await issue(signer, request, this.#ports.clock.now());
    return [leaf, ...signer.intermediates];
  }

  /** Hears of every replacement of the signer; returns the unsubscribe. */
  onChange(listener: (change: AuthorityChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Starts following files and age. */
  watch(intervalMs: number): void {
    if (this.#source.kind === 'plugged-in') {
      this.#stops.push(watchDirectory(this.#source.directory, this.#ports.timers, () => void this.check()));
      return;
    }
    if (intervalMs <= 0) return;
    let cancel: () => void = () => undefined;
    const again = (): void => {
      cancel = this.#ports.timers.setTimeout(() => {
        void this.check();
        again();
      }, intervalMs);
    };
    again();
    this.#stops.push(() => cancel());
  }

  /** Reloads or renews now if there is reason to; never throws, a failure leaves the signer as it is. Runs one at a time. */
  check(): Promise<void> {
    this.#checking = this.#checking.then(async () => {
      try {
        const texts = await this.#currentTexts();
        if (texts !== undefined) this.#replace(loadSigner(texts));
      } catch (error) {
        const code = error instanceof CaError ? error.code : 'UNKNOWN';
        this.#log.error({ code, reason: reasonOf(error) }, 'new signer refused, the old one stays in use');
      }
    });
    return this.#checking;
  }

  close(): void {
    for (const stop of this.#stops) stop();
    this.#stops = [];
    this.#listeners.clear();
  }

  async #currentTexts(): Promise<SignerTexts | undefined> {
    const source = this.#source;
    if (source.kind === 'plugged-in') {
      const files = await readBundleFiles(source.directory);
      if (files.kind === 'none')
        throw new CaError('BUNDLE_INCOMPLETE', `the CA bundle is gone from ${source.directory}`);
      return files.texts;
    }
    const root = await refreshRoot(source.store, source.policy, this.#ports.clock.now());
    return root === undefined ? undefined : textsOfRoot(root, source.extraRoots);
  }

  #replace(next: Signer): void {
    const old = this.#signer;
    const sameSigner = old.certificate.raw.equals(next.certificate.raw);
    const sameChain = old.intermediates.join('') === next.intermediates.join('');
    const rootsChanged = old.rootBundle !== next.rootBundle;
    if (sameSigner && sameChain && !rootsChanged) return;
    if (this.#source.kind === 'plugged-in') checkRootSwap(old.rootBundle, next.rootBundle);
    this.#signer = next;
    this.#expiry.set(next.notAfter / 1000);
    this.#log.info({ rootsChanged, subject: next.certificate.subject }, 'signer replaced');
    for (const listener of this.#listeners) listener({ rootsChanged });
  }
}

/**
 * Roots may grow (the new one is trusted before it signs) or shrink (the old one is retired), but not be exchanged in one
 * step: proxies that have not heard of the new root yet would refuse their peers.
 */
function checkRootSwap(oldBundle: string, newBundle: string): void {
  const before = splitCertificates(oldBundle);
  const after = splitCertificates(newBundle);
  const grows = before.every((root) => after.includes(root));
  const shrinks = after.every((root) => before.includes(root));
  if (grows || shrinks) return;
  throw new CaError(
    'ROOT_SWAP_REFUSED',
    'the new root bundle replaces roots in one step; first add the new root to the bundle, later remove the old one',
  );
}
