// Policies selected for a proxy, in the order in which they are evaluated. Lists keep their identity while they hold the
// same objects.

import type {
  AuthorizationPolicySpec,
  EnvoyFilterSpec,
  TelemetrySpec,
  TrafficExtensionSpec,
  WasmPluginSpec,
} from '../config/generated/types.ts';
import type { ConfigObject } from '../config/object.ts';
import type { PolicySet, RequestAuthentication, TelemetrySelection } from '../ir/policy.ts';
import { memo } from '../lib/memo.ts';
import { compareNumbers, compareStrings, orderBy } from '../lib/order.ts';
import { type Aged, inNamespace, inRootAndOwn, type NamespacedIndex } from './by-namespace.ts';
import { DEFAULT_PEER_AUTHN, type PeerAuthnObject, peerAuthnOf } from './peer-authn.ts';
import { attaches, isWide, type Selecting, type Subject } from './selection.ts';

export interface PolicyIndex {
  readonly rootNamespace: string;
  readonly peerAuthn: NamespacedIndex<PeerAuthnObject>;
  readonly authorization: NamespacedIndex<ConfigObject<AuthorizationPolicySpec>>;
  readonly requestAuthn: NamespacedIndex<RequestAuthentication>;
  readonly telemetry: NamespacedIndex<ConfigObject<TelemetrySpec>>;
  readonly envoyFilters: NamespacedIndex<ConfigObject<EnvoyFilterSpec>>;
  readonly wasmPlugins: NamespacedIndex<ConfigObject<WasmPluginSpec>>;
  readonly trafficExtensions: NamespacedIndex<ConfigObject<TrafficExtensionSpec>>;
}

const NOTHING: readonly never[] = [];
const NO_TELEMETRY: TelemetrySelection = {};

/** Every policy of the workload. `previous` is what comes back when nothing is different. */
export function policiesFor(index: PolicyIndex, subject: Subject, previous: PolicySet | undefined): PolicySet {
  return keepSet(previous, {
    peerAuthn: peerAuthnOf(index.peerAuthn, index.rootNamespace, subject),
    authorization: attached(index.authorization, index, subject),
    requestAuthn: attached(index.requestAuthn, index, subject),
    ...clientPolicies(index, subject, previous),
  });
}

/** Those that shape what a sidecar sends; what it accepts is its workload's. */
export function outboundPoliciesFor(index: PolicyIndex, subject: Subject, previous: PolicySet | undefined): PolicySet {
  return keepSet(previous, {
    peerAuthn: DEFAULT_PEER_AUTHN,
    authorization: NOTHING,
    requestAuthn: NOTHING,
    ...clientPolicies(index, subject, previous),
  });
}

type ClientPolicies = Pick<PolicySet, 'telemetry' | 'envoyFilters' | 'wasmPlugins' | 'trafficExtensions'>;

function clientPolicies(index: PolicyIndex, subject: Subject, previous: PolicySet | undefined): ClientPolicies {
  const { rootNamespace } = index;
  const filters = sorted(attached(index.envoyFilters, index, subject), compareFilters(rootNamespace));
  const plugins = sorted(attached(index.wasmPlugins, index, subject), compareExtensions);
  const extensions = sorted(attached(index.trafficExtensions, index, subject), compareExtensions);
  return {
    telemetry: keepTelemetry(previous?.telemetry, telemetryFor(index, subject)),
    envoyFilters: filters,
    wasmPlugins: plugins,
    trafficExtensions: extensions,
  };
}

/** Root namespace first, then the own one; in each the oldest first. */
function attached<S extends Selecting>(
  objects: NamespacedIndex<ConfigObject<S>>,
  index: PolicyIndex,
  subject: Subject,
): readonly ConfigObject<S>[] {
  let found: ConfigObject<S>[] | undefined;
  for (const list of inRootAndOwn(objects, index.rootNamespace, subject.namespace)) {
    for (const object of list) {
      if (!attaches(object, subject)) continue;
      found ??= [];
      found.push(object);
    }
  }
  return found === undefined ? NOTHING : shared(found);
}

/** One list for all workloads to which the same objects apply: what follows from it is made once for them. */
function shared<T extends object>(list: readonly T[]): readonly T[] {
  const [first, ...rest] = list;
  return first === undefined ? list : (listFrom(first, ...rest) as readonly T[]);
}

const listFrom = memo((first: object, ...rest: readonly object[]): readonly object[] => [first, ...rest]);

function sorted<T extends object>(list: readonly T[], compare: (a: T, b: T) => number): readonly T[] {
  return list.length < 2 ? list : shared(list.toSorted(compare));
}

/** Lower priority first, then the root namespace, then age, then `NAME.NAMESPACE`. */
function compareFilters(rootNamespace: string): (a: ConfigObject<EnvoyFilterSpec>, b: typeof a) => number {
  return orderBy(
    (a, b) => compareNumbers(a.spec.priority ?? 0, b.spec.priority ?? 0),
    (a, b) => compareNumbers(a.namespace === rootNamespace ? 0 : 1, b.namespace === rootNamespace ? 0 : 1),
    (a, b) => compareNumbers(a.created, b.created),
    (a, b) => compareStrings(dotted(a), dotted(b)),
  );
}

/** Higher priority first (not given: last), then `NAME.NAMESPACE`. */
const compareExtensions = orderBy<ConfigObject<WasmPluginSpec | TrafficExtensionSpec>>(
  (a, b) => compareNumbers(priorityOf(b), priorityOf(a)),
  (a, b) => compareStrings(dotted(a), dotted(b)),
);

function priorityOf(object: ConfigObject<{ readonly priority?: number | undefined }>): number {
  return object.spec.priority ?? Number.MIN_SAFE_INTEGER;
}

function dotted(object: Aged): string {
  return `${object.name}.${object.namespace}`;
}

/** The oldest object of each level; in the root namespace only the one without selector counts, for the whole mesh. */
function telemetryFor(index: PolicyIndex, subject: Subject): TelemetrySelection {
  const root = inNamespace(index.telemetry, index.rootNamespace);
  const own = inNamespace(index.telemetry, subject.namespace);
  if (root.length === 0 && own.length === 0) return NO_TELEMETRY;
  const inRoot = subject.namespace === index.rootNamespace;
  const mesh = root.find((each) => isWide(each.spec));
  const namespace = inRoot ? undefined : own.find((each) => isWide(each.spec));
  const workload = own.find((each) => !isWide(each.spec) && attaches(each, subject));
  return { mesh, namespace, workload };
}

function keepTelemetry(previous: TelemetrySelection | undefined, next: TelemetrySelection): TelemetrySelection {
  const same =
    previous !== undefined &&
    previous.mesh === next.mesh &&
    previous.namespace === next.namespace &&
    previous.workload === next.workload;
  return same ? previous : next;
}

function keepSet(previous: PolicySet | undefined, next: PolicySet): PolicySet {
  const same =
    previous !== undefined &&
    previous.peerAuthn === next.peerAuthn &&
    previous.authorization === next.authorization &&
    previous.requestAuthn === next.requestAuthn &&
    previous.telemetry === next.telemetry &&
    previous.envoyFilters === next.envoyFilters &&
    previous.wasmPlugins === next.wasmPlugins &&
    previous.trafficExtensions === next.trafficExtensions;
  return same ? previous : next;
}
