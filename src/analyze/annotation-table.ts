// The annotations that users of the mesh know: on which kinds they mean something, and what form their value has.
// Source: the API's list of annotations (istio.io/api/annotation).

import type { Kind } from '../config/object.ts';

export type AnnotationForm = 'text' | 'boolean' | 'number' | 'ports' | 'ranges';

export interface AnnotationEntry {
  readonly on: readonly Kind[] | 'any';
  readonly form: AnnotationForm;
  readonly stage: 'alpha' | 'stable' | 'deprecated';
}

const POD: readonly Kind[] = ['Pod'];
const SERVICE: readonly Kind[] = ['Service'];

function entries(
  on: AnnotationEntry['on'],
  stage: AnnotationEntry['stage'],
  forms: Readonly<Partial<Record<AnnotationForm, readonly string[]>>>,
): readonly (readonly [string, AnnotationEntry])[] {
  return Object.entries(forms).flatMap(([form, names]) =>
    names.map((name) => [name, { on, form: form as AnnotationForm, stage }] as const),
  );
}

export const ANNOTATIONS: ReadonlyMap<string, AnnotationEntry> = new Map([
  ...entries(POD, 'stable', {
    text: [
      'sidecar.istio.io/status',
      'sidecar.istio.io/proxyImage',
      'sidecar.istio.io/proxyImageType',
      'sidecar.istio.io/proxyCPU',
      'sidecar.istio.io/proxyCPULimit',
      'sidecar.istio.io/proxyMemory',
      'sidecar.istio.io/proxyMemoryLimit',
      'sidecar.istio.io/userVolume',
      'sidecar.istio.io/userVolumeMount',
      'inject.istio.io/templates',
      'prometheus.istio.io/merge-metrics',
    ],
    boolean: ['sidecar.istio.io/rewriteAppHTTPProbers', 'sidecar.istio.io/nativeSidecar'],
    ports: [
      'traffic.sidecar.istio.io/includeInboundPorts',
      'traffic.sidecar.istio.io/excludeInboundPorts',
      'traffic.sidecar.istio.io/includeOutboundPorts',
      'traffic.sidecar.istio.io/excludeOutboundPorts',
    ],
    ranges: ['traffic.sidecar.istio.io/includeOutboundIPRanges', 'traffic.sidecar.istio.io/excludeOutboundIPRanges'],
  }),
  ...entries(POD, 'alpha', {
    text: [
      'proxy.istio.io/overrides',
      'sidecar.istio.io/agentLogLevel',
      'sidecar.istio.io/bootstrapOverride',
      'sidecar.istio.io/componentLogLevel',
      'sidecar.istio.io/logLevel',
      'sidecar.istio.io/extraStatTags',
      'sidecar.istio.io/interceptionMode',
      'sidecar.istio.io/discoveryAddress',
      'sidecar.istio.io/statsHistogramBuckets',
      'sidecar.istio.io/statsInclusionPrefixes',
      'sidecar.istio.io/statsInclusionRegexps',
      'sidecar.istio.io/statsInclusionSuffixes',
      'sidecar.istio.io/statsCompression',
      'status.sidecar.istio.io/port',
      'readiness.status.sidecar.istio.io/applicationPorts',
      'traffic.sidecar.istio.io/kubevirtInterfaces',
      'traffic.sidecar.istio.io/excludeInterfaces',
      'istio.io/reroute-virtual-interfaces',
    ],
    boolean: ['sidecar.istio.io/enableCoreDump'],
    number: [
      'readiness.status.sidecar.istio.io/failureThreshold',
      'readiness.status.sidecar.istio.io/initialDelaySeconds',
      'readiness.status.sidecar.istio.io/periodSeconds',
    ],
  }),
  ...entries(POD, 'deprecated', {
    boolean: ['sidecar.istio.io/inject'],
    text: ['sidecar.istio.io/controlPlaneAuthPolicy'],
  }),
  ...entries(['Namespace', 'Pod'], 'stable', { text: ['proxy.istio.io/config'] }),
  ...entries(SERVICE, 'alpha', {
    text: [
      'networking.istio.io/exportTo',
      'networking.istio.io/traffic-distribution',
      'alpha.istio.io/canonical-serviceaccounts',
      'alpha.istio.io/kubernetes-serviceaccounts',
      'traffic.istio.io/nodeSelector',
      'networking.istio.io/address-type',
      'networking.istio.io/service-type',
    ],
  }),
  ...entries(['Namespace'], 'alpha', {
    text: ['topology.istio.io/controlPlaneClusters', 'ambient.istio.io/bypass-inbound-capture'],
  }),
  ...entries(['WorkloadEntry'], 'alpha', {
    text: [
      'istio.io/autoRegistrationGroup',
      'istio.io/workloadController',
      'istio.io/connectedAt',
      'istio.io/disconnectedAt',
    ],
    boolean: ['proxy.istio.io/health-checks-enabled'],
  }),
  ...entries('any', 'stable', {
    text: [
      'galley.istio.io/analyze-suppress',
      'install.operator.istio.io/chart-owner',
      'istio.io/rev',
      'ambient.istio.io/redirection',
    ],
  }),
  ...entries('any', 'alpha', { boolean: ['istio.io/dry-run'] }),
]);
