// An EnvoyFilter object, read once: its patches with values in canonical form. In: the object. Out: those of its patches
// that can be used, in order; what is wrong with the others is said when the object is admitted. Called by selection.ts.

import { RE2JS } from 're2js';
import { CodecError, type CodecProblem, Encoded, encodeJson, normalise } from '../../codec/index.ts';
import type {
  EnvoyConfigObjectMatch,
  EnvoyConfigObjectPatch,
  EnvoyFilterSpec,
  ProxyMatch,
} from '../../config/generated/types.ts';
import type { ConfigObject } from '../../config/object.ts';
import type { PatchProblems } from '../../config/validate/index.ts';
import { type Origin, originOf } from '../../ir/draft.ts';
import { memo } from '../../lib/memo.ts';
import type { Messages } from '../../messages/index.ts';
import type { Fields } from './fields.ts';

/** Message of each kind of thing that can be patched. BOOTSTRAP is the agent's business: a running Envoy has its own. */
export const PATCHED_TYPES = {
  LISTENER: 'envoy.config.listener.v3.Listener',
  LISTENER_FILTER: 'envoy.config.listener.v3.ListenerFilter',
  FILTER_CHAIN: 'envoy.config.listener.v3.FilterChain',
  NETWORK_FILTER: 'envoy.config.listener.v3.Filter',
  HTTP_FILTER: 'envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter',
  ROUTE_CONFIGURATION: 'envoy.config.route.v3.RouteConfiguration',
  VIRTUAL_HOST: 'envoy.config.route.v3.VirtualHost',
  HTTP_ROUTE: 'envoy.config.route.v3.Route',
  CLUSTER: 'envoy.config.cluster.v3.Cluster',
  EXTENSION_CONFIG: 'envoy.config.core.v3.TypedExtensionConfig',
} as const satisfies Readonly<Record<string, keyof Messages>>;

export type PatchTarget = keyof typeof PATCHED_TYPES;

export type PatchContext = 'SIDECAR_INBOUND' | 'SIDECAR_OUTBOUND' | 'GATEWAY';

export type PatchOperation = 'ADD' | 'REMOVE' | 'MERGE' | 'REPLACE' | 'INSERT_FIRST' | 'INSERT_BEFORE' | 'INSERT_AFTER';

export interface Patch {
  readonly object: ConfigObject<EnvoyFilterSpec>;
  /** Its place in `spec.configPatches`. */
  readonly index: number;
  readonly target: PatchTarget;
  readonly operation: PatchOperation;
  /** What lists of a merged value do to those that are there. */
  readonly lists: 'append' | 'replace';
  readonly match: EnvoyConfigObjectMatch;
  /** Empty for REMOVE. */
  readonly value: Fields;
  /** The same on the wire form, for where it is put in as it is. */
  readonly encoded: Encoded;
  readonly origin: Origin;
  /** Whether the patch is meant for a proxy of this version and with this metadata. */
  readonly suits: (version: string, metadata: Fields) => boolean;
}

/** The patches of an EnvoyFilter that can be used. */
export const compiledPatches = memo((object: ConfigObject<EnvoyFilterSpec>): readonly Patch[] =>
  (object.spec.configPatches ?? []).flatMap((written, index) => compiledPatch(object, written, index) ?? []),
);

/** Undefined for what can't be read, is not for running proxies, or says nothing. */
function compiledPatch(
  object: ConfigObject<EnvoyFilterSpec>,
  written: EnvoyConfigObjectPatch,
  index: number,
): Patch | undefined {
  const { applyTo = 'INVALID', match = {}, patch } = written;
  const target = targetOf(applyTo);
  const { operation, lists } = operationOf(target, patch?.operation);
  if (target === undefined || operation === undefined || match.context === 'WAYPOINT') return undefined;
  const type = PATCHED_TYPES[target];
  const { value, problem } = operation === 'REMOVE' ? NOTHING : readValue(type, patch?.value);
  const suits = suitsProxy(match.proxy);
  if (problem !== undefined || suits === undefined) return undefined;
  return {
    object,
    index,
    target,
    operation,
    lists,
    match,
    value,
    encoded: new Encoded(encodeJson(type, value)),
    origin: originOf(object, `spec.configPatches[${index}]`),
    suits,
  };
}

function targetOf(applyTo: string): PatchTarget | undefined {
  return applyTo in PATCHED_TYPES ? (applyTo as PatchTarget) : undefined;
}

/** Where order means something an element can be inserted; elsewhere to insert is to add. */
const ORDERED: ReadonlySet<PatchTarget> = new Set(['LISTENER_FILTER', 'NETWORK_FILTER', 'HTTP_FILTER', 'HTTP_ROUTE']);

function operationOf(
  target: PatchTarget | undefined,
  written: NonNullable<EnvoyConfigObjectPatch['patch']>['operation'],
): { readonly operation: PatchOperation | undefined; readonly lists: Patch['lists'] } {
  switch (written) {
    case undefined:
    case 'INVALID':
      return { operation: undefined, lists: 'append' };
    case 'MERGE_AND_REPLACE_LIST':
      return { operation: 'MERGE', lists: 'replace' };
    case 'INSERT_FIRST':
    case 'INSERT_BEFORE':
    case 'INSERT_AFTER':
      return { operation: target !== undefined && ORDERED.has(target) ? written : 'ADD', lists: 'append' };
    case 'ADD':
    case 'REMOVE':
    case 'MERGE':
    case 'REPLACE':
      return { operation: written, lists: 'append' };
  }
}

interface ReadValue {
  readonly value: Fields;
  readonly problem?: string | undefined;
  /** Fields that the message does not have: for newer proxies, or mistyped. */
  readonly unknown?: readonly CodecProblem[] | undefined;
}

const NOTHING: ReadValue = { value: {} };

/** Unknown fields are for newer proxies and harmless; anything else that can't be read makes the patch useless. */
function readValue(type: string, written: Fields | undefined): ReadValue {
  if (written === undefined) return { value: {}, problem: 'is missing' };
  const { value, problems } = normalise(type, written);
  const problem = problems.find((each) => each.kind === 'invalid');
  if (problem !== undefined) return { value: {}, problem: describe(problem) };
  try {
    encodeJson(type, value);
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    return { value: {}, problem: describe(error) };
  }
  const unknown = problems.filter((each) => each.kind === 'unknown-field');
  return { value: (value ?? {}) as Fields, unknown };
}

function describe({ path, expected }: Pick<CodecProblem, 'path' | 'expected'>): string {
  return path === '' ? `has to be ${expected}` : `${path} has to be ${expected}`;
}

/** What is wrong with a patch's value as a message of its type: why it can't be used, and what of it has no effect. */
export function patchValueProblems(applyTo: string, value: Fields): PatchProblems {
  const target = targetOf(applyTo);
  return target === undefined ? {} : readValue(PATCHED_TYPES[target], value);
}

/** Longer patterns are costlier to compile than any version is long. */
const MAX_PATTERN = 1024;

/** Undefined where the pattern can't be used: such a patch is for no proxy. */
function suitsProxy(match: ProxyMatch | undefined): Patch['suits'] | undefined {
  const { proxyVersion = '', metadata = {} } = match ?? {};
  const wanted = Object.entries(metadata);
  const pattern = proxyVersion === '' ? 'any' : compiledPattern(proxyVersion);
  if (pattern === undefined) return undefined;
  return (version, own) =>
    (pattern === 'any' || (version !== '' && pattern.matcher(version).find())) &&
    wanted.every(([key, value]) => own[key] === value);
}

function compiledPattern(pattern: string): RE2JS | undefined {
  if (pattern.length > MAX_PATTERN) return undefined;
  try {
    return RE2JS.compile(pattern);
  } catch {
    return undefined;
  }
}
