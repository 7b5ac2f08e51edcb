// The secrets that the agent serves, by name: the workload's certificate, its roots, and files that configuration refers to.
// In: a resource name; out: the JSON form of Envoy's Secret, and news when it changes. Called by sds.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { watchDirectory } from '../ca/file-watch.ts';
import type { Messages } from '../messages/index.ts';
import type { Timers } from '../lib/ports.ts';
import type { WorkloadCertificates } from './certificates.ts';
import { systemRoots } from './system-roots.ts';

export type SecretJson = Messages['envoy.extensions.transport_sockets.tls.v3.Secret'];

export interface NamedSecret {
  readonly json: SecretJson;
  /** Hash of the contents: the same secret has the same version in every stream. */
  readonly version: string;
}

/** What a resource name stands for. */
export type SecretName =
  | { readonly kind: 'workload' }
  | { readonly kind: 'roots' }
  | { readonly kind: 'file-pair'; readonly certificate: string; readonly key: string }
  | { readonly kind: 'file-roots'; readonly path: string }
  | { readonly kind: 'system-roots' }
  | { readonly kind: 'unknown' };

/** Reads a resource name as the control plane writes it. */
export function parseSecretName(name: string): SecretName {
  if (name === 'default' || name === 'builtin://') return { kind: 'workload' };
  if (name === 'ROOTCA' || name === 'builtin://-cacert') return { kind: 'roots' };
  if (name === 'file-root:system') return { kind: 'system-roots' };
  if (name.startsWith('file-root:')) return { kind: 'file-roots', path: name.slice('file-root:'.length) };
  if (name.startsWith('file-cert:')) {
    const [certificate, key, ...more] = name.slice('file-cert:'.length).split('~');
    if (certificate && key && more.length === 0) return { kind: 'file-pair', certificate, key };
  }
  return { kind: 'unknown' };
}

export interface SecretTable {
  /** Undefined while there is none (yet). */
  get(name: string): Promise<NamedSecret | undefined>;
  /** Calls back when `get` may answer differently; returns the stop. */
  watch(name: string, changed: () => void): () => void;
}

/** Secrets of a workload and of the file system. */
export function secretTable(certificates: WorkloadCertificates, timers: Timers): SecretTable {
  return {
    get: async (name) => {
      const json = await contentsOf(name, certificates);
      return json === undefined ? undefined : { json, version: versionOf(json) };
    },
    watch: (name, changed) => {
      const parsed = parseSecretName(name);
      switch (parsed.kind) {
        case 'workload':
          return certificates.onChange((change) => void (change.certificate && changed()));
        case 'roots':
          return certificates.onChange((change) => void (change.roots && changed()));
        case 'file-pair':
          return watchBoth(dirname(parsed.certificate), dirname(parsed.key), timers, changed);
        case 'file-roots':
          return watchDirectory(dirname(parsed.path), timers, changed);
        case 'system-roots':
        case 'unknown':
          return () => undefined;
      }
    },
  };
}

function watchBoth(first: string, second: string, timers: Timers, changed: () => void): () => void {
  const stops = [...new Set([first, second])].map((directory) => watchDirectory(directory, timers, changed));
  return () => {
    for (const stop of stops) stop();
  };
}

async function contentsOf(name: string, certificates: WorkloadCertificates): Promise<SecretJson | undefined> {
  const parsed = parseSecretName(name);
  const { current } = certificates;
  switch (parsed.kind) {
    case 'workload':
      return current && pair(name, current.certificatePem, current.keyPem);
    case 'roots':
      return current && roots(name, current.rootsPem);
    case 'file-pair': {
      const [certificate, key] = [await textOf(parsed.certificate), await textOf(parsed.key)];
      return certificate === undefined || key === undefined ? undefined : pair(name, certificate, key);
    }
    case 'file-roots': {
      const text = await textOf(parsed.path);
      return text === undefined ? undefined : roots(name, text);
    }
    case 'system-roots':
      return roots(name, await systemRoots());
    case 'unknown':
      return undefined;
  }
}

const bytes = (text: string) => ({ inlineBytes: Buffer.from(text).toString('base64') });

function pair(name: string, certificate: string, key: string): SecretJson {
  return { name, tlsCertificate: { certificateChain: bytes(certificate), privateKey: bytes(key) } };
}

function roots(name: string, text: string): SecretJson {
  return { name, validationContext: { trustedCa: bytes(text) } };
}

function versionOf(json: SecretJson): string {
  return createHash('sha256').update(JSON.stringify(json)).digest('base64url').slice(0, 16);
}

async function textOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}
