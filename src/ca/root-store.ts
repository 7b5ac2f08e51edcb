// Where the self-signed root is kept: a state directory, or memory. A Kubernetes Secret is a third store with this shape.
// Called by self-signed alone.

import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CaError } from './errors.ts';

export interface RootMaterial {
  readonly certificate: string;
  readonly key: string;
}

export interface RootStore {
  load(): Promise<RootMaterial | undefined>;
  /** Keeps the root unless there is one already; gives back what is kept. */
  create(root: RootMaterial): Promise<RootMaterial>;
  /** Puts a renewed certificate of the same key in place. */
  replace(root: RootMaterial): Promise<void>;
}

/** A root that ends with the process. */
export function memoryRootStore(): RootStore {
  let kept: RootMaterial | undefined;
  return {
    load: async () => kept,
    create: async (root) => {
      kept ??= root;
      return kept;
    },
    replace: async (root) => {
      kept = root;
    },
  };
}

const CERTIFICATE = 'ca-cert.pem';
const KEY = 'ca-key.pem';

/** A root in `STATE/ca`, files readable by the owner only. The directory appears whole, by one rename. */
export function fileRootStore(stateDirectory: string): RootStore {
  const directory = join(stateDirectory, 'ca');

  const load = async (): Promise<RootMaterial | undefined> => {
    const certificate = await textOf(join(directory, CERTIFICATE));
    const key = await textOf(join(directory, KEY));
    if (certificate === undefined && key === undefined) return undefined;
    if (certificate === undefined || key === undefined) {
      const missing = certificate === undefined ? CERTIFICATE : KEY;
      throw new CaError(
        'STATE_DAMAGED',
        `${directory} lacks ${missing}: restore it, or remove the directory to start anew`,
      );
    }
    return { certificate, key };
  };

  const create = async (root: RootMaterial): Promise<RootMaterial> => {
    const draft = join(stateDirectory, `.ca-${randomBytes(6).toString('hex')}`);
    await mkdir(stateDirectory, { recursive: true });
    await mkdir(draft, { mode: 0o700 });
    try {
      await writeFile(join(draft, CERTIFICATE), root.certificate, { mode: 0o600 });
      await writeFile(join(draft, KEY), root.key, { mode: 0o600 });
      // Fails if the directory is there and not empty: another process was first.
      await rename(draft, directory);
      return root;
    } catch (error) {
      const kept = await load();
      if (kept === undefined) throw error;
      return kept;
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  };

  const replace = async (root: RootMaterial): Promise<void> => {
    const draft = join(directory, `.${CERTIFICATE}-${randomBytes(6).toString('hex')}`);
    await writeFile(draft, root.certificate, { mode: 0o600 });
    await rename(draft, join(directory, CERTIFICATE));
  };

  return { load, create, replace };
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
