// The proxy configuration of one pod: the mesh's, then ProxyConfig objects from far to near, then the pod's annotation.

import type { ProxyConfigSpec } from '../config/generated/types.ts';
import { type MeshConfig, type MeshProxyConfig, mergeProxyConfig, parseProxyConfig } from '../config/mesh.ts';
import type { ConfigObject } from '../config/object.ts';
import type { YamlPort } from './config.ts';
import { annotationsOf, labelsOf, type Pod } from './pod.ts';

export const CONFIG_ANNOTATION = 'proxy.istio.io/config';

type Labels = Readonly<Record<string, string>>;

/** An annotation that can't be read changes nothing: the check of annotations has denied such a pod before. */
export function proxyConfigFor(
  pod: Pod,
  namespace: string,
  mesh: MeshConfig,
  objects: Iterable<ConfigObject<ProxyConfigSpec>>,
  yaml: YamlPort,
): MeshProxyConfig {
  let config = mesh.defaultConfig;
  for (const { spec } of applicable([...objects], namespace, labelsOf(pod), mesh.rootNamespace)) {
    config = mergeProxyConfig(config, {
      ...(spec.concurrency === undefined ? {} : { concurrency: spec.concurrency }),
      ...(spec.environmentVariables === undefined ? {} : { proxyMetadata: spec.environmentVariables }),
      ...(spec.image === undefined ? {} : { image: spec.image }),
    });
  }
  const annotation = annotationsOf(pod)[CONFIG_ANNOTATION];
  if (annotation === undefined) return config;
  const parsed = yaml.parse(annotation);
  return parsed.kind === 'value' ? mergeProxyConfig(config, parseProxyConfig(parsed.value).config) : config;
}

/** At most one of each: mesh-wide, of the namespace, of the workload; the oldest where there are several. */
function applicable(
  objects: readonly ConfigObject<ProxyConfigSpec>[],
  namespace: string,
  labels: Labels,
  rootNamespace: string,
): readonly ConfigObject<ProxyConfigSpec>[] {
  const byAge = objects.toSorted((a, b) => a.created - b.created || (a.name < b.name ? -1 : 1));
  const selectorOf = ({ spec }: ConfigObject<ProxyConfigSpec>): Labels => spec.selector?.matchLabels ?? {};
  const isPlain = (object: ConfigObject<ProxyConfigSpec>): boolean => Object.keys(selectorOf(object)).length === 0;
  const found = [
    byAge.find((object) => object.namespace === rootNamespace && isPlain(object)),
    namespace === rootNamespace ? undefined : byAge.find((object) => object.namespace === namespace && isPlain(object)),
    byAge.find(
      (object) =>
        object.namespace === namespace &&
        !isPlain(object) &&
        Object.entries(selectorOf(object)).every(([key, value]) => labels[key] === value),
    ),
  ];
  return found.filter((object) => object !== undefined);
}
