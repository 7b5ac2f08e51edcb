// What an analyzer looks at, and what it says. An analyzer is a pure function from a linked mesh to findings.
// In: a snapshot and the objects that it was built from, and where there are files, every document of them as written.
// Called by the analyzers of this folder.

import { FINDING_CODES, type FindingCode } from '../config/codes.ts';
import type { PodSpec, ServiceSpec } from '../config/core.ts';
import type { ConfigObject, Finding, Kind } from '../config/object.ts';
import { compareStrings, orderBy } from '../lib/order.ts';
import { type Table, tableValues } from '../lib/table.ts';
import type { LinkedSnapshot } from '../snapshot/index.ts';

/** A document as written: of kinds, too, that mean nothing to the control plane. */
export interface WrittenDocument {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly value: Readonly<Record<string, unknown>>;
  readonly origin: string | undefined;
}

export interface Analysis {
  readonly snapshot: LinkedSnapshot;
  /** By namespace and name. */
  list<Spec>(kind: Kind): readonly ConfigObject<Spec>[];
  /** Pods, and the templates of what makes Pods. */
  readonly workloads: readonly AnalyzedWorkload[];
  /** Empty where the objects come from a server. */
  readonly documents: readonly WrittenDocument[];
}

export interface AnalyzedWorkload {
  /** `Pod shop/web-1` */
  readonly title: string;
  readonly namespace: string;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly containers: readonly string[];
  /** Undefined for templates. */
  readonly pod: ConfigObject<PodSpec> | undefined;
  readonly document: WrittenDocument | undefined;
  readonly origin: string | undefined;
}

export type Labels = Readonly<Record<string, string>>;

export type Analyzer = (analysis: Analysis) => Iterable<Finding>;

const byName = orderBy<ConfigObject>(
  (a, b) => compareStrings(a.namespace, b.namespace),
  (a, b) => compareStrings(a.name, b.name),
);

export function analysisOf(
  snapshot: LinkedSnapshot,
  table: (kind: Kind) => Table<ConfigObject>,
  documents: readonly WrittenDocument[],
): Analysis {
  const lists = new Map<Kind, readonly ConfigObject[]>();
  const list = <Spec>(kind: Kind): readonly ConfigObject<Spec>[] => {
    const known = lists.get(kind) ?? [...tableValues(table(kind))].sort(byName);
    lists.set(kind, known);
    return known as readonly ConfigObject<Spec>[];
  };
  const written = new Map(documents.map((each) => [`${each.kind}/${each.namespace}/${each.name}`, each]));
  const pods = list<PodSpec>('Pod').map(
    (pod): AnalyzedWorkload => ({
      title: `Pod ${pod.namespace}/${pod.name}`,
      namespace: pod.namespace,
      labels: pod.labels,
      annotations: pod.annotations,
      containers: pod.spec.containers.map(({ name }) => name),
      pod,
      document: written.get(`Pod/${pod.namespace}/${pod.name}`),
      origin: pod.origin,
    }),
  );
  return { snapshot, list, workloads: [...pods, ...documents.flatMap(templateOf)], documents };
}

const TEMPLATED: ReadonlySet<string> = new Set(['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job']);

function templateOf(document: WrittenDocument): readonly AnalyzedWorkload[] {
  if (!TEMPLATED.has(document.kind)) return [];
  const template = fieldOf(fieldOf(document.value, 'spec'), 'template');
  const metadata = fieldOf(template, 'metadata');
  const containers = [
    ...listOf(fieldOf(template, 'spec')['containers']),
    ...listOf(fieldOf(template, 'spec')['initContainers']),
  ];
  return [
    {
      title: `${document.kind} ${document.namespace}/${document.name}`,
      namespace: document.namespace,
      labels: textsOf(metadata['labels']),
      annotations: textsOf(metadata['annotations']),
      containers: containers.map((container) => String(container['name'])),
      pod: undefined,
      document,
      origin: document.origin,
    },
  ];
}

type Fields = Readonly<Record<string, unknown>>;

/** A member that should be an object; empty where it is none. */
export function fieldOf(value: unknown, key: string): Fields {
  const member: unknown = isFields(value) ? value[key] : undefined;
  return isFields(member) ? member : {};
}

export function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : [];
}

export function textsOf(value: unknown): Labels {
  if (!isFields(value)) return {};
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => (typeof item === 'string' ? [[key, item]] : [])),
  );
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A finding about an object. */
export function on(object: ConfigObject, code: FindingCode, path: string, message: string, expected?: string): Finding {
  const { kind, namespace, name, origin } = object;
  return {
    severity: FINDING_CODES[code].severity,
    code,
    ref: { kind, namespace, name },
    ...(origin === undefined ? {} : { origin }),
    path,
    message,
    ...(expected === undefined ? {} : { expected }),
  };
}

/** A finding about a workload: an object of ours where it is a Pod, else named in the message. */
export function onWorkload(workload: AnalyzedWorkload, code: FindingCode, path: string, message: string): Finding {
  if (workload.pod !== undefined) return on(workload.pod, code, path, message);
  const { origin, title } = workload;
  const { severity } = FINDING_CODES[code];
  return { severity, code, ...(origin === undefined ? {} : { origin }), path, message: `${title} ${message}` };
}

export function selects(selector: Labels | undefined, labels: Labels): boolean {
  const pairs = Object.entries(selector ?? {});
  return pairs.length > 0 && pairs.every(([key, value]) => labels[key] === value);
}

/** Services that lead to a workload. */
export function servicesOf(
  analysis: Analysis,
  { namespace, labels }: AnalyzedWorkload,
): readonly ConfigObject<ServiceSpec>[] {
  return analysis
    .list<ServiceSpec>('Service')
    .filter((service) => service.namespace === namespace && selects(service.spec.selector, labels));
}

const SYSTEM_NAMESPACES: ReadonlySet<string> = new Set([
  'kube-system',
  'kube-public',
  'kube-node-lease',
  'local-path-storage',
]);

/** Namespaces where nobody expects a mesh. */
export function isSystemNamespace({ snapshot }: Analysis, namespace: string): boolean {
  return SYSTEM_NAMESPACES.has(namespace) || namespace === snapshot.settings.rootNamespace;
}
