// One pod, injected: checks, templates, the user's own settings, then what no template can say.
// In: an InjectionRequest. Out: the pod as it shall be, or why it can't be. Pure, and the same when done twice.
// Called by the webhook and by `kube-inject`.

import { annotationProblems } from './annotations.ts';
import { arranged } from './arrange.ts';
import { withOverrides } from './overrides.ts';
import { annotationsOf, labelsOf, type Pod, PROXY, withAnnotations, withContainer } from './pod.ts';
import { rewriteProbes } from './probes.ts';
import { mergePrometheus } from './prometheus.ts';
import { type InjectionRequest, render } from './render.ts';
import { formatStatus, STATUS, statusOf } from './status.ts';
import { bagOf, textOf, truth } from './template/values.ts';

export type Injection =
  | { readonly kind: 'injected'; readonly pod: Pod }
  /** Never empty. */
  | { readonly kind: 'denied'; readonly problems: readonly string[] };

const CLUSTER = 'ISTIO_META_CLUSTER_ID';
const NETWORK = 'ISTIO_META_NETWORK';
const NETWORK_LABEL = 'topology.istio.io/network';

export function injectPod(request: InjectionRequest): Injection {
  const { pod: before, mesh, config, yaml } = request;
  const problems = annotationProblems(annotationsOf(before), yaml);
  if (problems.length > 0) return { kind: 'denied', problems };
  const rendered = render(request);
  if (rendered.kind === 'problem') return { kind: 'denied', problems: [rendered.problem] };
  const { added } = rendered;
  const overlaid = withOverrides(rendered.pod, before, added, request.proxyConfig.interceptionMode);
  const env = proxyEnv(request);
  const withEnv = withContainer(overlaid, PROXY, (proxy) => ({ ...proxy, env: replaced(proxy.env ?? [], env) }));
  const { statusPort } = mesh.defaultConfig;
  const scraped = mergePrometheus(withEnv, { enabled: mesh.enablePrometheusMerge, statusPort });
  if ('problem' in scraped) return { kind: 'denied', problems: [scraped.problem] };
  const webhook = bagOf(config.values['sidecarInjectorWebhook']);
  const probed = rewriteProbes(scraped.pod, {
    enabled: truth(webhook['rewriteAppHTTPProbe']),
    statusPort,
    wasInjected: statusOf(before) !== undefined,
  });
  const marked = withMarks(probed, added, request, env[NETWORK]);
  return { kind: 'injected', pod: arranged(marked, holdsApplication(request)) };
}

/** The label of the pod beats the path of the request, and that the values. */
function proxyEnv({ pod, config, env }: InjectionRequest): Readonly<Record<string, string>> {
  const global = bagOf(config.values['global']);
  const cluster = env[CLUSTER] || textOf(bagOf(global['multiCluster'])['clusterName']);
  const network = labelsOf(pod)[NETWORK_LABEL] ?? (env[NETWORK] || textOf(global['network']));
  return {
    ...env,
    ...(cluster === '' ? {} : { [CLUSTER]: cluster }),
    ...(network === '' ? {} : { [NETWORK]: network }),
  };
}

type EnvList = readonly { readonly name: string; readonly value?: string }[];

function replaced(list: EnvList, values: Readonly<Record<string, string>>): EnvList {
  const kept = list.map((each) =>
    Object.hasOwn(values, each.name) ? { name: each.name, value: values[each.name] ?? '' } : each,
  );
  const added = Object.entries(values).filter(([name]) => !list.some((each) => each.name === name));
  return [...kept, ...added.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => ({ name, value }))];
}

function withMarks(pod: Pod, added: Pod, { revision, config }: InjectionRequest, network: string | undefined): Pod {
  const labels = { ...labelsOf(pod), ...(network === undefined ? {} : { [NETWORK_LABEL]: network }) };
  const annotations = {
    ...annotationsOf(pod),
    [STATUS]: formatStatus(added.spec, revision),
    ...config.injectedAnnotations,
  };
  const marked = withAnnotations(pod, annotations);
  return Object.keys(labels).length === 0 ? marked : { ...marked, metadata: { ...marked.metadata, labels } };
}

function holdsApplication({ proxyConfig, config }: InjectionRequest): boolean {
  const proxy = bagOf(bagOf(config.values['global'])['proxy']);
  return proxyConfig.holdApplicationUntilProxyStarts === true || truth(proxy['holdApplicationUntilProxyStarts']);
}
