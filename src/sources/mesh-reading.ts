// Texts of the mesh-wide settings to values: MeshConfig and MeshNetworks, plain or wrapped in a ConfigMap.
// In: the text of a file, or the data of a ConfigMap. Out: settings with findings; what can't be read keeps what was in
// force. Called by mesh-file.ts and kube-mesh.ts.

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
import { locateField, parseYaml } from './yaml.ts';

export interface MeshSettings {
  readonly mesh: MeshConfig;
  readonly networks: MeshNetworks;
  readonly findings: readonly Finding[];
}

export const DEFAULT_SETTINGS: MeshSettings = { mesh: DEFAULT_MESH_CONFIG, networks: NO_NETWORKS, findings: [] };

/** Mesh settings that are followed, wherever they stand. */
export interface MeshSource {
  /** Resolves with what is in force once it was read, or is known to be absent. Never rejects. */
  start(): Promise<MeshSettings>;
  current(): MeshSettings;
  stop(): Promise<void>;
}

/** What one file says: raw values for either setting, with a way to find fields in the text. */
export interface Reading {
  readonly mesh: Section | undefined;
  readonly networks: Section | undefined;
  readonly findings: readonly Finding[];
  /** Nothing could be learned: what was in force stays. */
  readonly failed: boolean;
  readonly wrapped: boolean;
}

export interface Section {
  readonly value: unknown;
  readonly origin: string;
  readonly locate: (path: string) => string | undefined;
}

export const NOTHING: Reading = { mesh: undefined, networks: undefined, findings: [], failed: false, wrapped: false };

/** What is in force after both were read. */
export function settingsOf(mesh: Reading, networks: Reading, before: MeshSettings): MeshSettings {
  const parsedMesh = mesh.failed ? { mesh: before.mesh, findings: [] } : parseMesh(mesh.mesh, before.mesh);
  // A ConfigMap may hold both settings; a file for the networks alone comes first.
  const source = networks === NOTHING && mesh.wrapped ? mesh : networks;
  const parsedNetworks = source.failed
    ? { networks: before.networks, findings: [] }
    : parseNetworks(source.networks, before.networks);
  const findings = [...mesh.findings, ...networks.findings, ...parsedMesh.findings, ...parsedNetworks.findings];
  return {
    mesh: parsedMesh.mesh,
    networks: parsedNetworks.networks,
    findings: deepEqual(findings, before.findings) ? before.findings : findings,
  };
}

/**
 * The data of a ConfigMap read from an API server. `shared` is that of a second one, whose settings hold where this one
 * says nothing.
 */
export function configMapReading(
  data: Readonly<Record<string, unknown>>,
  origin: string,
  shared: Readonly<Record<string, unknown>> = {},
): Reading {
  const section = (key: string): Section | Finding | undefined => {
    const own = textIn(data, key, origin);
    const under = textIn(shared, key, origin);
    if (own !== undefined && 'code' in own) return own;
    if (under !== undefined && 'code' in under) return under;
    if (own === undefined) return under;
    return under === undefined ? own : { ...own, value: over(under.value, own.value) };
  };
  const [mesh, networks] = [section('mesh'), section('meshNetworks')];
  const findings = [mesh, networks].filter((each): each is Finding => each !== undefined && 'code' in each);
  if (findings.length > 0) return { ...NOTHING, findings, failed: true, wrapped: true };
  return { ...NOTHING, mesh: mesh as Section | undefined, networks: networks as Section | undefined, wrapped: true };
}

function textIn(data: Readonly<Record<string, unknown>>, key: string, origin: string): Section | Finding | undefined {
  const text = data[key];
  if (typeof text !== 'string') return undefined;
  const parsed = parseYaml(text);
  if (parsed.kind === 'problem') {
    const message = `data.${key}, line ${parsed.at.line}: ${parsed.message}`;
    return { severity: 'error', code: 'MEL0022', origin, message };
  }
  return { value: parsed.value, origin: `${origin}, data.${key}`, locate: () => undefined };
}

/** istio's rule for two layers: fields of the upper one win, `defaultConfig` is merged field by field. */
function over(under: unknown, own: unknown): unknown {
  if (!isRecord(under) || !isRecord(own)) return own ?? under;
  const [below, above] = [under['defaultConfig'], own['defaultConfig']];
  const defaultConfig = isRecord(below) && isRecord(above) ? { defaultConfig: { ...below, ...above } } : {};
  return { ...under, ...own, ...defaultConfig };
}

export function readingOf(text: string, file: string): Reading {
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
