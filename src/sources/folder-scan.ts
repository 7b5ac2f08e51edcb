// What lies in a folder: files that may hold configuration, found without reading them.
// In: a path. Out: files with a stamp that changes when their content may have changed. Called by files.ts.

import type { BigIntStats } from 'node:fs';
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export interface FoundFile {
  readonly path: string;
  /** Device, inode, size and time of change. */
  readonly stamp: string;
  readonly size: number;
  /** The directory that holds the real file, where the path is a link to elsewhere. */
  readonly linkTarget: string | undefined;
}

export interface FoundDirectory {
  readonly path: string;
  readonly identity: string;
}

export interface Scan {
  readonly files: FoundFile[];
  readonly directories: FoundDirectory[];
}

const EXTENSION = /\.(?:ya?ml|json)$/;

/** Names that begin with a dot are editors' and Kubernetes' own: `.foo.yaml.swp`, `..data`. */
export function isHidden(name: string): boolean {
  return name.startsWith('.');
}

export function isConfigName(path: string): boolean {
  return EXTENSION.test(path) && !isHidden(basename(path));
}

/** Directory links may lead back up: no deeper than this. */
const MAX_DEPTH = 32;

export type Look =
  | { readonly kind: 'file'; readonly file: FoundFile }
  | { readonly kind: 'directory'; readonly identity: string }
  | { readonly kind: 'none' };

/** What a path is now, links followed. Missing paths and sockets, pipes and devices are `none`. */
export async function look(path: string): Promise<Look> {
  let stats: BigIntStats;
  try {
    stats = await stat(path, { bigint: true });
  } catch {
    return { kind: 'none' };
  }
  if (stats.isDirectory()) return { kind: 'directory', identity: identityOf(stats) };
  if (!stats.isFile()) return { kind: 'none' };
  const stamp = `${identityOf(stats)}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`;
  return { kind: 'file', file: { path, stamp, size: Number(stats.size), linkTarget: await linkTarget(path) } };
}

function identityOf(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}`;
}

async function linkTarget(path: string): Promise<string | undefined> {
  try {
    if (!(await lstat(path)).isSymbolicLink()) return undefined;
    return dirname(await realpath(path));
  } catch {
    return undefined;
  }
}

/** Every file and directory below `directory`, itself included. Undefined where it is no directory. */
export async function scanFolder(directory: string): Promise<Scan | undefined> {
  const found: Scan = { files: [], directories: [] };
  const top = await look(directory);
  if (top.kind !== 'directory') return undefined;
  await descend(directory, top.identity, [], found);
  return found;
}

async function descend(directory: string, identity: string, above: readonly string[], found: Scan): Promise<void> {
  if (above.includes(identity) || above.length >= MAX_DEPTH) return;
  found.directories.push({ path: directory, identity });
  let names: string[];
  try {
    names = await readdir(directory);
  } catch {
    return;
  }
  const visible = names.filter((name) => !isHidden(name)).sort();
  const looks = await Promise.all(
    visible.map(async (name) => ({ path: join(directory, name), found: await look(join(directory, name)) })),
  );
  for (const each of looks) {
    if (each.found.kind === 'directory') await descend(each.path, each.found.identity, [...above, identity], found);
    else if (each.found.kind === 'file' && isConfigName(each.path)) found.files.push(each.found.file);
  }
}
