// Endpoints of a Kubernetes Service: from its EndpointSlices, from WorkloadEntries that it selects, and, where nobody
// makes slices (a folder of files), from the Pods that it selects.

import type { KubePort, SliceEndpoint } from '../config/core.ts';
import type { Endpoint, Health } from '../ir/endpoint.ts';
import { ipVersion, isIp } from '../lib/ip.ts';
import type { EndpointContext } from './endpoint-context.ts';
import { atAddresses, endpointRecord, type Place, unitedAddresses } from './endpoint-record.ts';
import { bareFacts, entryFacts, isHealthyEntry, podFacts, workloadEntryLabels, workloadEntryName } from './facts.ts';
import type { EndpointSlice, KubeService, Pod, WorkloadEntry } from './input.ts';
import { sessionOf } from './labels.ts';
import { selectorOwner } from './selectors.ts';
import { entryTargetPort, podTargetPort } from './target-port.ts';
import { isLivePod } from './workloads.ts';

/** All endpoints of the Service, each address and port once. */
export function kubeEndpoints(service: KubeService, context: EndpointContext): readonly Endpoint[] {
  if (service.spec.type === 'ExternalName') return [];
  const slices = context.slices(service.namespace, service.name);
  const fromSlices = slices.flatMap((slice) => sliceEndpoints(service, slice, context));
  const owner = selectorOwner(service)?.key;
  if (owner === undefined) return fromSlices;
  const fromPods =
    slices.length === 0 && context.options.mode === 'files'
      ? context.selectedPods(owner).flatMap((pod) => selectedPodEndpoints(service, pod, context))
      : [];
  const fromEntries = context
    .selectedEntries(owner)
    .flatMap((entry) => selectedEntryEndpoints(service, entry, context));
  return [...fromSlices, ...fromPods, ...fromEntries];
}

/** A Service with addresses of both families has Pods with both: each is one endpoint, found in two slices. */
function podAddresses(service: KubeService, pod: Pod | undefined, { options }: EndpointContext): readonly string[] {
  return service.spec.clusterIPs.length > 1 ? unitedAddresses(pod, options) : [];
}

function sliceEndpoints(service: KubeService, slice: EndpointSlice, context: EndpointContext): readonly Endpoint[] {
  if (slice.spec.addressType === 'FQDN') return [];
  const endpoints: Endpoint[] = [];
  for (const [index, each] of slice.spec.endpoints.entries()) {
    const health = sliceHealth(each, service, context);
    if (health === undefined) continue;
    for (const address of each.addresses) {
      if (!isIp(address)) {
        context.findings.add('MEL0101', slice, `endpoints[${index}].addresses`, `${address} is no IP address`);
        continue;
      }
      const place = placeOf(slice, each, address, index, context);
      if (place === undefined) continue;
      const all = podAddresses(service, referredPod(each, context), context);
      for (const port of slice.spec.ports) {
        if (port.port === undefined || port.port === 0) continue;
        const endpoint = endpointRecord(place, address, port.port, port.name, health, 0);
        endpoints.push(all.length > 0 ? atAddresses(endpoint, all) : endpoint);
      }
    }
  }
  return endpoints;
}

/** Undefined: not sent at all. */
function sliceHealth(endpoint: SliceEndpoint, service: KubeService, { options }: EndpointContext): Health | undefined {
  if (endpoint.ready !== false) return 'HEALTHY';
  // Nothing said means shutting down: who writes slices by hand leaves out what isn't ready.
  if (endpoint.terminating === false) return 'UNHEALTHY';
  // Sessions that stick to an instance may go on while it shuts down.
  const sessions = sessionOf(service.labels, options.sessionLabels) !== undefined;
  return endpoint.serving !== false && sessions ? 'DRAINING' : undefined;
}

function placeOf(
  slice: EndpointSlice,
  endpoint: SliceEndpoint,
  address: string,
  index: number,
  context: EndpointContext,
): Place | undefined {
  const ref = endpoint.targetRef?.kind === 'Pod' ? endpoint.targetRef : undefined;
  const pod = ref === undefined ? context.podByIp(slice.namespace, address) : referredPod(endpoint, context);
  if (pod !== undefined) return podPlace(pod, context, endpoint.hostname);
  if (ref !== undefined && context.options.mode === 'kubernetes') {
    // Without its Pod the identity is unknown: traffic to it could be sent in plain text.
    const message = `${address} waits for Pod ${ref.namespace}/${ref.name}`;
    context.findings.add('MEL0100', slice, `endpoints[${index}].targetRef`, message);
    return undefined;
  }
  return {
    facts: bareFacts(context.placement, address, context.node(endpoint.nodeName)),
    namespace: slice.namespace,
    clusterId: context.placement.clusterId,
    hostname: endpoint.hostname ?? '',
    subdomain: '',
  };
}

function referredPod({ targetRef }: SliceEndpoint, context: EndpointContext): Pod | undefined {
  return targetRef?.kind === 'Pod' ? context.pod(targetRef.namespace, targetRef.name) : undefined;
}

function podPlace(pod: Pod, context: EndpointContext, hostname?: string): Place {
  return {
    facts: podFacts(pod, context.node(pod.spec.nodeName), context.placement),
    namespace: pod.namespace,
    clusterId: context.placement.clusterId,
    hostname: hostname ?? pod.spec.hostname ?? '',
    subdomain: pod.spec.subdomain ?? '',
  };
}

/** What the endpoint slice controller would make of a Pod. */
function selectedPodEndpoints(service: KubeService, pod: Pod, context: EndpointContext): readonly Endpoint[] {
  if (!isLivePod(pod)) return [];
  const ready = pod.status?.ready === true || service.spec.publishNotReadyAddresses;
  const all = podAddresses(service, pod, context);
  const served = servedAddresses(service, pod);
  const place = podPlace(pod, context);
  return (all.length > 0 ? served.slice(0, 1) : served).flatMap((address) => {
    return service.spec.ports.flatMap((port, index) => {
      const number = podTargetPort(port, pod);
      if (number === undefined) {
        missingPort(service, port, index, `Pod ${pod.name}`, context);
        return [];
      }
      const health = ready ? 'HEALTHY' : 'UNHEALTHY';
      const endpoint = endpointRecord(place, address, number, port.name, health, 0);
      return [all.length > 0 ? atAddresses(endpoint, all) : endpoint];
    });
  });
}

/** One address for each family of the Service; of a Service without addresses the Pod's first. */
function servedAddresses(service: KubeService, pod: Pod): readonly string[] {
  const ips = (pod.status?.podIPs ?? []).filter(isIp);
  const families = new Set(service.spec.clusterIPs.flatMap((ip) => ipVersion(ip) ?? []));
  if (families.size === 0) return ips.slice(0, 1);
  return [...families].flatMap((family) => ips.find((ip) => ipVersion(ip) === family) ?? []);
}

function selectedEntryEndpoints(
  service: KubeService,
  entry: WorkloadEntry,
  context: EndpointContext,
): readonly Endpoint[] {
  const address = entry.spec.address ?? '';
  if (!isHealthyEntry(entry)) return [];
  if (!isIp(address)) {
    const message = `${address} is no IP address, as endpoints of Service ${service.name} have to be`;
    context.findings.add('MEL0101', entry, 'spec.address', message);
    return [];
  }
  const labels = workloadEntryLabels(entry);
  const facts = entryFacts(entry.spec, labels, entry.namespace, workloadEntryName(entry), context.placement);
  const { clusterId } = context.placement;
  const place: Place = { facts, namespace: entry.namespace, clusterId, hostname: '', subdomain: '' };
  const weight = entry.spec.weight ?? 0;
  return service.spec.ports.flatMap((port, index) => {
    if (port.protocol === 'UDP') return [];
    const number = entryTargetPort(port, entry.spec);
    if (number === undefined) {
      missingPort(service, port, index, `WorkloadEntry ${entry.name}`, context);
      return [];
    }
    return [endpointRecord(place, address, number, port.name, 'UNKNOWN', weight)];
  });
}

function missingPort(
  service: KubeService,
  port: KubePort,
  index: number,
  where: string,
  context: EndpointContext,
): void {
  const message = `${where} has no port named ${String(port.targetPort)}`;
  context.findings.add('MEL0102', service, `spec.ports[${index}].targetPort`, message);
}
