// Annotations of a pod that steer its proxy: wrong ones deny the pod, all of them at once.
// In: annotations. Out: messages. Called before anything is rendered.

import { parseProxyConfig } from '../config/mesh.ts';
import { parseCidr } from '../lib/ip.ts';
import { isJson } from './pod.ts';
import type { YamlPort } from './config.ts';

/** What is wrong with a value and what would be right; undefined when nothing is. */
type Check = (value: string, yaml: YamlPort) => string | undefined;

const expected = (what: string, holds: (value: string) => boolean): Check => {
  return (value) => (holds(value) ? undefined : `expected ${what}`);
};

const isPort = (text: string): boolean => /^\d+$/.test(text.trim()) && Number(text) <= 65535;
const isPortList = (text: string): boolean => text.trim() === '' || text.split(',').every(isPort);
const isCidrList = (text: string): boolean =>
  text === '' || text.split(',').every((range) => range.includes('/') && parseCidr(range) !== undefined);

const unsigned = expected('a whole number', (text) => /^\d+$/.test(text) && Number(text) <= 4_294_967_295);
const ports = expected('port numbers, separated by commas', isPortList);
const interfaces = expected('names of network interfaces, separated by commas', (text) =>
  text.split(',').every((name) => /^[A-Za-z0-9_.-]{1,15}$/.test(name.trim())),
);
const quantity = expected('a quantity such as 100m or 128Mi', (text) =>
  /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/.test(text),
);

export const ANNOTATION_CHECKS: Readonly<Record<string, Check>> = {
  'sidecar.istio.io/interceptionMode': expected('REDIRECT, TPROXY or NONE', (text) =>
    ['REDIRECT', 'TPROXY', 'NONE'].includes(text),
  ),
  'status.sidecar.istio.io/port': expected('a port number', isPort),
  'readiness.status.sidecar.istio.io/initialDelaySeconds': unsigned,
  'readiness.status.sidecar.istio.io/periodSeconds': unsigned,
  'readiness.status.sidecar.istio.io/failureThreshold': unsigned,
  'traffic.sidecar.istio.io/includeOutboundIPRanges': expected(
    '* or CIDRs, separated by commas',
    (text) => text === '*' || isCidrList(text),
  ),
  'traffic.sidecar.istio.io/excludeOutboundIPRanges': expected('CIDRs, separated by commas', isCidrList),
  'traffic.sidecar.istio.io/includeInboundPorts': expected(
    '* or port numbers, separated by commas',
    (text) => text === '*' || isPortList(text),
  ),
  'traffic.sidecar.istio.io/excludeInboundPorts': ports,
  'traffic.sidecar.istio.io/includeOutboundPorts': ports,
  'traffic.sidecar.istio.io/excludeOutboundPorts': ports,
  'traffic.sidecar.istio.io/excludeInterfaces': interfaces,
  'traffic.sidecar.istio.io/kubevirtInterfaces': interfaces,
  'istio.io/reroute-virtual-interfaces': interfaces,
  'prometheus.istio.io/merge-metrics': expected('true or false', (text) =>
    /^(?:1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/.test(text),
  ),
  'proxy.istio.io/config': proxyConfigProblem,
  'sidecar.istio.io/proxyCPU': quantity,
  'sidecar.istio.io/proxyMemory': quantity,
  'sidecar.istio.io/proxyCPULimit': quantity,
  'sidecar.istio.io/proxyMemoryLimit': quantity,
  'sidecar.istio.io/userVolume': jsonMap,
  'sidecar.istio.io/userVolumeMount': jsonMap,
};

/** One message for each wrong annotation, in order of their names. */
export function annotationProblems(annotations: Readonly<Record<string, string>>, yaml: YamlPort): readonly string[] {
  return Object.entries(annotations)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, value]) => {
      const check = Object.hasOwn(ANNOTATION_CHECKS, name) ? ANNOTATION_CHECKS[name] : undefined;
      const problem = check?.(value, yaml);
      return problem === undefined
        ? []
        : [`metadata.annotations["${name}"]: ${JSON.stringify(value.slice(0, 200))} is not valid: ${problem}`];
    });
}

function proxyConfigProblem(value: string, yaml: YamlPort): string | undefined {
  const parsed = yaml.parse(value);
  if (parsed.kind === 'problem') return `line ${parsed.at.line}: ${parsed.message}`;
  const { findings } = parseProxyConfig(parsed.value);
  const wrong = findings.find((finding) => finding.severity === 'error') ?? findings[0];
  if (wrong === undefined) return undefined;
  return `${wrong.path ?? ''} ${wrong.message}${wrong.expected === undefined ? '' : `: expected ${wrong.expected}`}`;
}

function jsonMap(value: string): string | undefined {
  try {
    if (isJson(JSON.parse(value))) return undefined;
  } catch {
    // Said below.
  }
  return 'expected JSON: a map from names to volumes or mounts';
}
