// The plug-in CA's directory: which of the two layouts is there, and whether it is whole.
// In: a directory; out: the texts of a bundle, or that there is none; half a bundle is an error that lists what is missing.
// Called by the authority at start and at every reload.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CaError, reasonOf } from './errors.ts';
import type { SignerTexts } from './signer.ts';

export type BundleFiles =
  | { readonly kind: 'none'; readonly extraRoots: string }
  | { readonly kind: 'whole'; readonly texts: SignerTexts };

const PLUGGED = ['ca-cert.pem', 'ca-key.pem', 'cert-chain.pem', 'root-cert.pem'] as const;
const TLS_SECRET = ['tls.crt', 'tls.key', 'ca.crt'] as const;

/** Reads the bundle: the layout of a TLS Secret if `tls.crt` is there, else the one of a `cacerts` Secret. */
export async function readBundleFiles(directory: string): Promise<BundleFiles> {
  const tls = await readAll(directory, TLS_SECRET);
  if (tls['tls.crt'] !== undefined) {
    requireWhole(directory, TLS_SECRET, tls);
    const roots = tls['ca.crt'] ?? '';
    const certificate = tls['tls.crt'];
    return {
      kind: 'whole',
      texts: { certificate, key: tls['tls.key'] ?? '', chain: `${certificate}\n${roots}`, roots },
    };
  }
  const plugged = await readAll(directory, PLUGGED);
  const present = PLUGGED.filter((name) => plugged[name] !== undefined);
  const roots = plugged['root-cert.pem'] ?? '';
  // A root certificate alone is no CA but a further root to trust beside the self-signed one.
  if (present.every((name) => name === 'root-cert.pem')) return { kind: 'none', extraRoots: roots };
  requireWhole(directory, PLUGGED, plugged);
  return {
    kind: 'whole',
    texts: {
      certificate: plugged['ca-cert.pem'] ?? '',
      key: plugged['ca-key.pem'] ?? '',
      chain: plugged['cert-chain.pem'] ?? '',
      roots,
    },
  };
}

type Texts<Name extends string> = Readonly<Partial<Record<Name, string>>>;

async function readAll<Name extends string>(directory: string, names: readonly Name[]): Promise<Texts<Name>> {
  const texts: Partial<Record<Name, string>> = {};
  for (const name of names) {
    const text = await readIfThere(join(directory, name));
    if (text !== undefined) texts[name] = text;
  }
  return texts;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new CaError('BUNDLE_INVALID', `cannot read ${path}: ${reasonOf(error)}`, error);
  }
}

function requireWhole<Name extends string>(directory: string, names: readonly Name[], texts: Texts<Name>): void {
  const missing = names.filter((name) => texts[name] === undefined);
  if (missing.length === 0) return;
  const present = names.filter((name) => texts[name] !== undefined);
  throw new CaError(
    'BUNDLE_INCOMPLETE',
    `CA bundle in ${directory} is incomplete: ${present.join(', ')} present, ${missing.join(', ')} missing`,
  );
}
