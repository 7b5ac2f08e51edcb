// Raw YAML or JSON objects to ConfigObjects: metadata, structure by schema, projection to what is used.
// In: one parsed document. Out: objects, or findings that say which field is wrong and what is expected.
// Called by every source and by `validate`. Never throws, whatever the document holds.

import { formatPath, type PathStep } from '../../lib/field-path.ts';
import { parseTimestamp } from '../../lib/timestamp.ts';
import type { FindingCode } from '../codes.ts';
import { groupOf, type KindInfo, lookUpKind } from '../kinds.ts';
import type { ConfigObject, Finding, ObjectRef, Severity } from '../object.ts';
import { conform } from '../schema/conform.ts';
import type { Problem } from '../schema/schema.ts';
import type { Of } from '../schema/typed.ts';
import { type Body, coreProjector, type Projector } from './core.ts';
import { metadataSchema } from './core-schemas.ts';
import { istioBody } from './istio.ts';
import { wholeSpec } from './whole.ts';

export interface ParseOptions {
  /** `validate` and webhooks refuse unknown fields as the API server does; loading ignores them with a warning. */
  readonly unknownFields: Severity;
  /** For namespaced objects that name none. */
  readonly defaultNamespace?: string | undefined;
  /** Becomes the origin of objects and findings. */
  readonly origin?: string | undefined;
}

export type Parsed = {
  /** Where the object lies in the document: empty, or `items[3]` in a List. */
  readonly root: readonly PathStep[];
} & (
  | { readonly kind: 'object'; readonly object: ConfigObject; readonly warnings: readonly Finding[] }
  /** Findings is never empty. */
  | { readonly kind: 'invalid'; readonly ref?: ObjectRef | undefined; readonly findings: readonly Finding[] }
  | { readonly kind: 'ignored'; readonly finding: Finding }
);

type Raw = Readonly<Record<string, unknown>>;

/** The objects of one document: one, those of a `List`, or none for an empty document. */
export function parseDocument(raw: unknown, options: ParseOptions): Parsed[] {
  const found: Parsed[] = [];
  collect(raw, options, [], found);
  return found;
}

/** Lists in lists do not exist in the API; a bound keeps a hostile document from recursing. */
const MAX_LIST_DEPTH = 2;

function collect(raw: unknown, options: ParseOptions, root: readonly PathStep[], found: Parsed[]): void {
  if (raw === null || raw === undefined) return;
  if (!isRecord(raw)) {
    found.push(
      invalid(root, options, 'MEL0004', `${Array.isArray(raw) ? 'a list' : typeof raw} is no Kubernetes object`),
    );
    return;
  }
  const items = raw['items'];
  if (
    typeof raw['kind'] === 'string' &&
    raw['kind'].endsWith('List') &&
    Array.isArray(items) &&
    root.length < MAX_LIST_DEPTH * 2
  ) {
    for (const [index, item] of items.entries()) collect(item, options, [...root, 'items', index], found);
    return;
  }
  found.push(parseOne(raw, options, root));
}

function parseOne(raw: Raw, options: ParseOptions, root: readonly PathStep[]): Parsed {
  const apiVersion = raw['apiVersion'];
  const kind = raw['kind'];
  if (typeof apiVersion !== 'string' || apiVersion === '') {
    return invalid(root, options, 'MEL0004', 'apiVersion is missing or no string', 'apiVersion');
  }
  if (typeof kind !== 'string' || kind === '') {
    return invalid(root, options, 'MEL0004', 'kind is missing or no string', 'kind');
  }
  const lookup = lookUpKind(apiVersion, kind);
  switch (lookup.kind) {
    case 'foreign':
      return {
        root,
        kind: 'ignored',
        finding: finding(
          options,
          'info',
          'MEL0005',
          `${apiVersion} ${kind} ${nameIn(raw)} is of no use here and is ignored`,
        ),
      };
    case 'unknown':
      return invalid(
        root,
        options,
        'MEL0006',
        `${apiVersion} has no kind ${kind} that is known here`,
        'kind',
        lookup.expected,
      );
    case 'known':
      return parseKnown(raw, apiVersion, lookup.info, options, root);
  }
}

/** Parses an object whose kind is known already, as lists of the Kubernetes API leave it out of their items. */
export function parseKnown(
  raw: Raw,
  apiVersion: string,
  info: KindInfo,
  options: ParseOptions,
  root: readonly PathStep[] = [],
): Parsed {
  const meta = conform(metadataSchema, raw['metadata'] ?? {}, ['metadata']);
  const metadata = meta.value as Partial<Metadata> | undefined;
  const ref = refOf(metadata, info, options);
  if (ref === undefined || metadata === undefined) {
    const findings = meta.problems.map((problem) => ofProblem(problem, undefined, options));
    return { root, kind: 'invalid', findings: orElse(findings, options) };
  }
  const body = bodyOf(info, raw, ref, metadata);
  const findings = [
    ...meta.problems.map((problem) => ofProblem(problem, ref, options)),
    ...nameFindings(ref, info, options),
    ...body.problems.map((problem) => ofProblem(problem, ref, options)),
    ...(info.idle === true ? [idleFinding(ref, apiVersion, options)] : []),
  ];
  if (findings.some((each) => each.severity === 'error')) return { root, kind: 'invalid', ref, findings };
  const created = parseTimestamp(metadata.creationTimestamp ?? '') ?? 0;
  const object = assemble(ref, apiVersion, metadata, created, body, options);
  return { root, kind: 'object', object, warnings: findings };
}

/** One of Kubernetes' own objects, of which each field is known to have its type. */
export interface Checked {
  /** `created` in milliseconds since the epoch, 0 where it isn't known. */
  readonly metadata: Omit<Metadata, 'creationTimestamp'> & { readonly created: number };
}

/** Parses what needs no look at its structure, as it comes in an encoding with types. */
export function parseChecked(raw: Checked, apiVersion: string, info: KindInfo, options: ParseOptions): Parsed {
  const { metadata } = raw;
  const ref = refOf(metadata, info, options);
  const body = ref === undefined ? undefined : coreProjector(info.kind)?.(raw, contextOf(ref, metadata), true);
  if (ref === undefined || body === undefined) return { root: [], kind: 'invalid', findings: orElse([], options) };
  const problems = body.problems.map((problem) => ofProblem(problem, ref, options));
  const findings = [...nameFindings(ref, info, options), ...problems];
  if (findings.length > 0) return { root: [], kind: 'invalid', ref, findings };
  return {
    root: [],
    kind: 'object',
    object: assemble(ref, apiVersion, metadata, metadata.created, body, options),
    warnings: [],
  };
}

type Metadata = Of<typeof metadataSchema>;

function refOf(metadata: Partial<Metadata> | undefined, info: KindInfo, options: ParseOptions): ObjectRef | undefined {
  const name = metadata?.name;
  if (name === undefined) return undefined;
  const written = metadata?.namespace;
  const namespace = info.namespaced
    ? written !== undefined && written !== ''
      ? written
      : (options.defaultNamespace ?? 'default')
    : '';
  return { kind: info.kind, namespace, name };
}

function bodyOf(info: KindInfo, raw: Raw, ref: ObjectRef, metadata: Partial<Metadata>): Body {
  if (info.idle === true) return wholeSpec(raw);
  const project = coreProjector(info.kind);
  if (project === undefined) return istioBody(info.kind, raw);
  return project(raw, contextOf(ref, metadata), false);
}

function contextOf({ namespace }: ObjectRef, { labels = {} }: Partial<Metadata>): Parameters<Projector>[1] {
  return { namespace, labels };
}

/** Annotations that carry a copy of the object or a heartbeat: they change without meaning anything here. */
const IGNORED_ANNOTATIONS: ReadonlySet<string> = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  'control-plane.alpha.kubernetes.io/leader',
  'endpoints.kubernetes.io/last-change-trigger-time',
]);

function assemble(
  ref: ObjectRef,
  apiVersion: string,
  metadata: Omit<Partial<Metadata>, 'creationTimestamp'>,
  created: number,
  body: Body,
  options: ParseOptions,
): ConfigObject {
  // Field by field: thousands are made at a start, and spreading what may be there took more time than all the rest.
  const object: { -readonly [Field in keyof ConfigObject]: ConfigObject[Field] } = {
    kind: ref.kind,
    namespace: ref.namespace,
    name: ref.name,
    apiVersion,
    labels: metadata.labels ?? {},
    annotations: meaningful(metadata.annotations ?? {}),
    created,
    generation: metadata.generation ?? 0,
    spec: body.spec,
  };
  if (metadata.uid !== undefined) object.uid = metadata.uid;
  if (body.status !== undefined) object.status = body.status;
  if (options.origin !== undefined) object.origin = options.origin;
  return object;
}

/** Annotations without those that mean nothing here. */
export function meaningful<T>(annotations: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  if (!Object.keys(annotations).some((key) => IGNORED_ANNOTATIONS.has(key))) return annotations;
  return Object.fromEntries(Object.entries(annotations).filter(([key]) => !IGNORED_ANNOTATIONS.has(key)));
}

const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

function nameFindings(ref: ObjectRef, info: KindInfo, options: ParseOptions): Finding[] {
  const found: Finding[] = [];
  const report = (path: string, message: string, expected: string): void => {
    found.push({ ...finding(options, 'error', 'MEL0009', message), ref, path, expected });
  };
  if (ref.name.length > 253 || !SUBDOMAIN.test(ref.name)) {
    report('metadata.name', 'is no valid name', 'lower-case letters, digits, "-" and "."');
  }
  if (info.namespaced && (ref.namespace.length > 63 || !LABEL.test(ref.namespace))) {
    report('metadata.namespace', 'is no valid namespace', 'at most 63 lower-case letters, digits and "-"');
  }
  return found;
}

function ofProblem(problem: Problem, ref: ObjectRef | undefined, options: ParseOptions): Finding {
  const unknown = problem.kind === 'unknown-field';
  const severity = unknown ? options.unknownFields : 'error';
  const code: FindingCode =
    unknown && severity !== 'error' ? 'MEL0008' : problem.path.startsWith('metadata') ? 'MEL0009' : 'IST0106';
  return {
    ...finding(options, severity, code, problem.message),
    ...(ref === undefined ? {} : { ref }),
    path: problem.path,
    ...(problem.expected === undefined ? {} : { expected: problem.expected }),
  };
}

function idleFinding(ref: ObjectRef, apiVersion: string, options: ParseOptions): Finding {
  const message = `objects of ${groupOf(apiVersion)} are read and shown, and nothing is made of them yet`;
  return { ...finding(options, 'info', 'MEL0014', message), ref };
}

function orElse(findings: readonly Finding[], options: ParseOptions): readonly Finding[] {
  return findings.length > 0 ? findings : [finding(options, 'error', 'MEL0004', 'metadata.name is missing')];
}

function finding(options: ParseOptions, severity: Severity, code: FindingCode, message: string): Finding {
  return { severity, code, message, ...(options.origin === undefined ? {} : { origin: options.origin }) };
}

function invalid(
  root: readonly PathStep[],
  options: ParseOptions,
  code: FindingCode,
  message: string,
  path?: string,
  expected?: string,
): Parsed {
  const steps = formatPath([...root, ...(path === undefined ? [] : [path])]);
  const found: Finding = {
    ...finding(options, 'error', code, message),
    ...(steps === '' ? {} : { path: steps }),
    ...(expected === undefined ? {} : { expected }),
  };
  return { root, kind: 'invalid', findings: [found] };
}

function nameIn(raw: Raw): string {
  const metadata = raw['metadata'];
  const name = isRecord(metadata) ? metadata['name'] : undefined;
  return typeof name === 'string' ? name.slice(0, 253) : '';
}

function isRecord(value: unknown): value is Raw {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
