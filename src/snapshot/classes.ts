// Which class a proxy belongs to: everything that its outbound configuration depends on, as one value with a total key.

import type { GatewayTarget, Proxy, ProxyClass, ProxySettings, ServiceTarget } from '../ir/proxy.ts';
import { isHttp } from '../ir/service.ts';
import { sortedEntries } from '../lib/order.ts';
import { familyOf, interceptionOf, namesOf, networkViewOf, text } from './proxy.ts';
import type { Labels } from './selection.ts';
import type { LinkedSnapshot } from './snapshot.ts';
import { namespaceChoice, onDemandOf, splitsRoutes } from './on-demand.ts';
import { mentionsFor, projectLabels, projectMetadata } from './universe.ts';

/** Put on a Service in front of a gateway to have its port numbers taken as they are. */
const NO_TRANSLATION_LABEL = 'experimental.istio.io/disable-gateway-port-translation';

/** Differ from pod to pod of one workload; what selectors make of them is decided before they are left out. */
const POD_LABELS: ReadonlySet<string> = new Set([
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
  'kubernetes.io/hostname',
]);

/** What is known of the workload beside a proxy, from the registry or else from the proxy itself. */
export interface WorkloadIdentity {
  /** With those of its place. */
  readonly labels: Labels;
  readonly locality: string;
  readonly nodeName: string;
}

export interface ClassInput {
  readonly snapshot: LinkedSnapshot;
  readonly proxy: Proxy;
  readonly identity: WorkloadIdentity;
  readonly settings: ProxySettings;
  readonly targets: readonly ServiceTarget[];
}

/** What classes of a namespace depend on, beside what is a proxy's own. */
export function namespaceInputs(snapshot: LinkedSnapshot, namespace: string): readonly unknown[] {
  const { index, settings } = snapshot;
  return [settings, namespaceChoice(snapshot, namespace), ...mentionsFor(index.universe, settings, namespace)];
}

/** Builds the class; equal content has an equal key. */
export function buildClass(input: ClassInput): ProxyClass {
  const { snapshot, proxy, identity, settings, targets } = input;
  const { index } = snapshot;
  const isRouter = proxy.type === 'router';
  const onDemand = onDemandOf(snapshot, proxy);
  const mentioned = projectLabels(index.universe, snapshot.settings, proxy.namespace, identity.labels);
  const content: Omit<ProxyClass, 'key'> = {
    type: proxy.type,
    namespace: proxy.namespace,
    dnsDomain: proxy.dnsDomain,
    family: familyOf(proxy.addresses),
    dialect: proxy.dialect,
    clusterId: proxy.clusterId,
    network: proxy.network,
    networkView: networkViewOf(proxy),
    locality: identity.locality,
    interception: interceptionOf(proxy),
    labels: isRouter ? { ...sharedLabels(identity.labels), ...mentioned } : mentioned,
    nodeName: index.universe.usesNode ? identity.nodeName : '',
    ownHeadlessAddresses: isRouter ? [] : headlessAddresses(proxy, targets),
    // Names would make every workload a class of its own: sidecars have them in their workload only.
    settings: isRouter ? Object.assign({}, settings, namesOf(proxy, identity.labels)) : settings,
    version: text(proxy.metadata, 'ISTIO_VERSION'),
    metadata: projectMetadata(index.universe, snapshot.settings, proxy.namespace, proxy.metadata),
    ...(isRouter ? { gatewayTargets: targets.map(gatewayTarget) } : {}),
    ...(onDemand === undefined ? {} : { onDemand }),
    ...(onDemand === undefined && splitsRoutes(snapshot, proxy) ? { splitRoutes: true as const } : {}),
  };
  return { key: stableText(content), ...content };
}

/** The class without its place; undefined where there is none to leave out, and for routers, whose labels tell it as well. */
export function placelessClass(proxyClass: ProxyClass): ProxyClass | undefined {
  const { key: _key, ...content } = proxyClass;
  if (content.type === 'router') return undefined;
  if (content.locality === '' && content.nodeName === '' && content.networkView.length === 0) return undefined;
  const placeless = { ...content, locality: '', nodeName: '', networkView: [] };
  return { key: stableText(placeless), ...placeless };
}

/** Labels without those that only tell pods of one workload apart. */
export function sharedLabels(labels: Labels): Labels {
  return Object.fromEntries(sortedEntries(labels).filter(([key]) => !POD_LABELS.has(key)));
}

/** Only ports that are not HTTP have a listener for each endpoint. */
function headlessAddresses(proxy: Proxy, targets: readonly ServiceTarget[]): readonly string[] {
  const headless = targets.some(
    ({ service, port, besideHeadless }) =>
      (service.resolution === 'Passthrough' || besideHeadless === true) && !isHttp(port.protocol),
  );
  return headless ? proxy.addresses.slice(0, 1) : [];
}

function gatewayTarget({ service, port, targetPort }: ServiceTarget): GatewayTarget {
  return {
    hostname: service.hostname,
    namespace: service.namespace,
    port: port.number,
    targetPort,
    translate: service.labels[NO_TRANSLATION_LABEL] === undefined,
    ...(port.protocol === 'UDP' ? { udp: true as const } : {}),
  };
}

/** JSON with sorted keys: equal values give equal text. */
export function stableText(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(sortedEntries(each as Readonly<Record<string, unknown>>))
      : each,
  );
}
