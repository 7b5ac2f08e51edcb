// Merged metrics: Prometheus is sent to the agent, which is told where the application's own page is.
// In: a pod with a proxy. Out: the same with its scrape annotations moved into the proxy's environment, or what is wrong.

import { annotationsOf, booleanOf, containerOf, type Pod, PROXY, withAnnotations, withContainer } from './pod.ts';

type Annotations = Readonly<Record<string, string>>;

/** Prometheus takes `prometheus.io/port` and `prometheus_io-port` for one and the same. */
const normalised = (name: string): string => name.replaceAll(/[^a-zA-Z0-9_]/g, '_');

const NAMES = ['prometheus_io_scrape', 'prometheus_io_port', 'prometheus_io_path'];

function valueOf(annotations: Annotations, name: string): string | undefined {
  return Object.entries(annotations).find(([key]) => normalised(key) === name)?.[1];
}

export function scrapePortOf(annotations: Annotations): string | undefined {
  return valueOf(annotations, 'prometheus_io_port');
}

export function withoutPrometheus(annotations: Annotations): Annotations {
  return Object.fromEntries(Object.entries(annotations).filter(([key]) => !NAMES.includes(normalised(key))));
}

/** Ports of the proxy itself, of which an application's page can't be read. */
const RESERVED: Readonly<Record<string, string>> = {
  15000: "Envoy's admin page",
  15001: 'outbound capture',
  15004: 'debugging',
  15006: 'inbound capture',
  15008: 'tunnels',
  15020: 'the agent',
  15021: 'health checks',
  15053: 'DNS',
  15090: "Envoy's metrics",
};

export interface PrometheusSettings {
  /** Of the mesh; the pod's annotation wins. */
  readonly enabled: boolean;
  readonly statusPort: number;
}

export type Prometheus = { readonly pod: Pod } | { readonly problem: string };

export function mergePrometheus(pod: Pod, { enabled, statusPort }: PrometheusSettings): Prometheus {
  const annotations = annotationsOf(pod);
  const wanted = booleanOf(annotations['prometheus.istio.io/merge-metrics']) ?? enabled;
  const scraped = booleanOf(valueOf(annotations, 'prometheus_io_scrape')) ?? true;
  const port = scrapePortOf(annotations);
  // Already at our port: injected before, or its user's own wish.
  if (!wanted || !scraped || port === String(statusPort) || containerOf(pod, PROXY) === undefined) return { pod };
  const problem = port === undefined ? undefined : portProblem(port, statusPort);
  if (problem !== undefined) return { problem };
  const settings = {
    scrape: valueOf(annotations, 'prometheus_io_scrape'),
    path: valueOf(annotations, 'prometheus_io_path'),
    port,
  };
  const isSet = Object.values(settings).some((value) => value !== undefined);
  const value = JSON.stringify(settings);
  const told = isSet
    ? withContainer(pod, PROXY, (proxy) => ({
        ...proxy,
        env: [
          ...(proxy.env ?? []).filter(({ name }) => name !== 'ISTIO_PROMETHEUS_ANNOTATIONS'),
          { name: 'ISTIO_PROMETHEUS_ANNOTATIONS', value },
        ],
      }))
    : pod;
  return {
    pod: withAnnotations(told, {
      ...withoutPrometheus(annotations),
      'prometheus.io/port': String(statusPort),
      'prometheus.io/path': '/stats/prometheus',
      'prometheus.io/scrape': 'true',
    }),
  };
}

function portProblem(port: string, statusPort: number): string | undefined {
  const number = Number(port);
  const path = 'metadata.annotations["prometheus.io/port"]';
  if (!/^\d+$/.test(port) || number < 1 || number > 65535)
    return `${path}: ${JSON.stringify(port)} is not valid: expected a port number`;
  const owner = number === statusPort ? 'the agent' : RESERVED[number];
  return owner === undefined ? undefined : `${path}: ${port} is the port of ${owner}, not of an application`;
}
