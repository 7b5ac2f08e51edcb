// The mesh-wide settings: `--meshConfig` and `--networksConfig`, read again as they change.
// In: two files, plain or wrapped in a ConfigMap as `istioctl` and the charts write it. Out: parsed values over defaults.
// Called by server.ts. A file that is absent means defaults; one that can't be read keeps what was read last.

import { basename, dirname, resolve } from 'node:path';
import {
  DEFAULT_MESH_CONFIG,
  type MeshConfig,
  type MeshNetworks,
  NO_NETWORKS,
  parseMeshConfig,
  parseMeshNetworks,
} from '../config/mesh.ts';
import type { Finding } from '../config/object.ts';
import { deepEqual } from '../lib/equal.ts';
import type { PathStep } from '../lib/field-path.ts';
import type { Log, Timers } from '../lib/ports.ts';
import { ChangeQueue } from './change-queue.ts';
import { readText } from './file-read.ts';
import { look } from './folder-scan.ts';
import { FolderWatch, type WatchDirectory, watchDirectory } from './folder-watch.ts';
import { locateField, parseYaml } from './yaml.ts';

export interface MeshSettings {
  readonly mesh: MeshConfig;
  readonly networks: MeshNetworks;
  readonly findings: readonly Finding[];
}

export interface MeshFilesOptions {
  readonly meshFile?: string | undefined;
  readonly networksFile?: string | undefined;
  readonly log: Log;
  readonly timers: Timers;
  readonly watch?: WatchDirectory | undefined;
  readonly sweepMs?: number | undefined;
  /** Called after each change; values that are equal are the same objects as before. */
  readonly onChange: (settings: MeshSettings) => void;
}

export interface MeshFiles {
  /** Reads both files; resolves with what is in force from then on. Never rejects. */
  start(): Promise<MeshSettings>;
  current(): MeshSettings;
  stop(): Promise<void>;
}

const MAX_BYTES = 4 * 1024 * 1024;
const SWEEP_MS = 5000;

export function meshFiles(options: MeshFilesOptions): MeshFiles {
  return new WatchedMeshFiles(options);
}

/** What one file says: raw values for either setting, with a way to find fields in the text. */
interface Reading {
  readonly mesh: Section | undefined;
  readonly networks: Section | undefined;
  readonly findings: readonly Finding[];
  /** Nothing could be learned: what was in force stays. */
  readonly failed: boolean;
  readonly wrapped: boolean;
}

interface Section {
  readonly value: unknown;
  readonly origin: string;
  readonly locate: (path: string) => string | undefined;
}

const NOTHING: Reading = { mesh: undefined, networks: undefined, findings: [], failed: false, wrapped: false };

class WatchedMeshFiles implements MeshFiles {
  readonly #options: MeshFilesOptions;
  readonly #files: readonly string[];
  readonly #watch: FolderWatch;
  readonly #queue: ChangeQueue;
  readonly #absent = new Set<string>();
  #settings: MeshSettings = { mesh: DEFAULT_MESH_CONFIG, networks: NO_NETWORKS, findings: [] };
  #cancelSweep: (() => void) | undefined;
  #stopped = false;

  constructor(options: MeshFilesOptions) {
    this.#options = options;
    const given = [options.meshFile ?? '', options.networksFile ?? ''].filter((file) => file !== '');
    this.#files = given.map((file) => resolve(file));
    this.#queue = new ChangeQueue({ timers: options.timers, flush: () => this.#reload() });
    this.#watch = new FolderWatch({
      watch: options.watch ?? watchDirectory,
      onHint: (path, hint) => {
        // Links (`..data` of a mounted ConfigMap) move without their own names being touched.
        const name = basename(path);
        if (this.#files.includes(path)) this.#queue.add(path, hint);
        else if (name.startsWith('..') || !this.#files.some((file) => dirname(file) === dirname(path))) {
          for (const file of this.#files) this.#queue.add(file, hint);
        }
      },
      onError: (directory, error) =>
        options.log.debug({ directory, err: error }, 'a folder can not be watched, it is swept'),
    });
  }

  async start(): Promise<MeshSettings> {
    await this.#watchAll();
    await this.#reload(true);
    this.#sweep();
    return this.#settings;
  }

  current(): MeshSettings {
    return this.#settings;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelSweep?.();
    this.#watch.close();
    await this.#queue.close();
  }

  #sweep(): void {
    if (this.#files.length === 0 || this.#stopped) return;
    this.#cancelSweep = this.#options.timers.setTimeout(() => {
      for (const file of this.#files) this.#queue.add(file, 'sweep');
      this.#sweep();
    }, this.#options.sweepMs ?? SWEEP_MS);
  }

  async #watchAll(): Promise<void> {
    for (const file of this.#files) {
      const found = await look(file);
      const target = found.kind === 'file' ? found.file.linkTarget : undefined;
      for (const directory of [dirname(file), target]) {
        const there = directory === undefined ? undefined : await look(directory);
        if (directory !== undefined && there?.kind === 'directory' && !this.#stopped)
          this.#watch.add(directory, there.identity);
      }
    }
  }

  async #reload(first = false): Promise<void> {
    await this.#watchAll();
    const mesh = await this.#read(this.#options.meshFile, first);
    const networks = await this.#read(this.#options.networksFile, first);
    if (mesh === undefined || networks === undefined || this.#stopped) return;
    const before = this.#settings;
    const parsedMesh = mesh.failed ? { mesh: before.mesh, findings: [] } : parseMesh(mesh.mesh, before.mesh);
    // A ConfigMap may hold both settings; a file for the networks alone comes first.
    const source = networks === NOTHING && mesh.wrapped ? mesh : networks;
    const parsedNetworks = source.failed
      ? { networks: before.networks, findings: [] }
      : parseNetworks(source.networks, before.networks);
    const findings = [...mesh.findings, ...networks.findings, ...parsedMesh.findings, ...parsedNetworks.findings];
    const next: MeshSettings = {
      mesh: parsedMesh.mesh,
      networks: parsedNetworks.networks,
      findings: deepEqual(findings, before.findings) ? before.findings : findings,
    };
    if (next.mesh === before.mesh && next.networks === before.networks && next.findings === before.findings) return;
    this.#settings = next;
    for (const finding of findings) this.#options.log.warn({ finding }, 'mesh configuration');
    if (!first) this.#options.onChange(next);
  }

  /** Undefined where it is too early to tell: the file is being written, or was taken away a moment ago. */
  async #read(path: string | undefined, first: boolean): Promise<Reading | undefined> {
    if (path === undefined || path === '') return NOTHING;
    const file = resolve(path);
    const read = await readText(file, path, MAX_BYTES);
    if (read.kind === 'text' && (read.text !== '' || first)) {
      this.#absent.delete(file);
      return readingOf(read.text, path);
    }
    if (read.kind === 'refused') return { ...NOTHING, findings: [read.finding], failed: true };
    if (read.kind === 'torn') {
      this.#queue.add(file, 'change');
      return undefined;
    }
    if (first || this.#absent.has(file)) {
      this.#absent.add(file);
      return NOTHING;
    }
    this.#absent.add(file);
    this.#queue.later(file);
    return undefined;
  }
}

function readingOf(text: string, file: string): Reading {
  const parsed = parseYaml(text);
  if (parsed.kind === 'problem') return failure(parsed.message, `${file}:${parsed.at.line}:${parsed.at.column}`);
  const whole: Section = {
    value: parsed.value,
    origin: file,
    locate: (path) => placeIn(text, file, path, []),
  };
  if (!isRecord(parsed.value)) return { ...NOTHING, mesh: whole, networks: whole };
  if (parsed.value['kind'] !== 'ConfigMap') return { ...NOTHING, mesh: whole, networks: whole };
  const data = parsed.value['data'];
  if (!isRecord(data)) return failure('a ConfigMap without data', file);
  const mesh = nested(text, file, data, 'mesh');
  const networks = nested(text, file, data, 'meshNetworks');
  const failed = [mesh, networks].find((section) => section !== undefined && 'message' in section);
  if (failed !== undefined && 'message' in failed) return failure(failed.message, failed.origin, true);
  return { ...NOTHING, mesh: mesh as Section | undefined, networks: networks as Section | undefined, wrapped: true };
}

/** A YAML text inside of a ConfigMap: its own lines are not known, so that findings point at the key. */
function nested(
  text: string,
  file: string,
  data: Readonly<Record<string, unknown>>,
  key: string,
): Section | { readonly message: string; readonly origin: string } | undefined {
  const inner = data[key];
  if (inner === undefined || inner === null) return undefined;
  const origin = placeIn(text, file, key, ['data']) ?? file;
  if (typeof inner !== 'string') return { message: `data.${key} is no text`, origin };
  const parsed = parseYaml(inner);
  if (parsed.kind === 'problem') return { message: `data.${key}, line ${parsed.at.line}: ${parsed.message}`, origin };
  return { value: parsed.value, origin, locate: () => origin };
}

function placeIn(text: string, file: string, path: string, root: readonly PathStep[]): string | undefined {
  const position = locateField(text, path, root);
  return position === undefined ? undefined : `${file}:${position.line}:${position.column}`;
}

function failure(message: string, origin: string, wrapped = false): Reading {
  return { ...NOTHING, wrapped, findings: [{ severity: 'error', code: 'MEL0022', origin, message }], failed: true };
}

function parseMesh(
  section: Section | undefined,
  before: MeshConfig,
): { mesh: MeshConfig; findings: readonly Finding[] } {
  const parsed = parseMeshConfig(section?.value, before, section?.origin);
  return { mesh: parsed.mesh, findings: placed(parsed.findings, section) };
}

function parseNetworks(
  section: Section | undefined,
  before: MeshNetworks,
): { networks: MeshNetworks; findings: readonly Finding[] } {
  const parsed = parseMeshNetworks(section?.value, before, section?.origin);
  return { networks: parsed.networks, findings: placed(parsed.findings, section) };
}

function placed(findings: readonly Finding[], section: Section | undefined): readonly Finding[] {
  return findings.map((finding) => {
    const origin = finding.path === undefined ? undefined : section?.locate(finding.path);
    return origin === undefined ? finding : { ...finding, origin };
  });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
