// Injection as the tests run it: built-in templates unless a case says otherwise.

import { type MeshConfig, parseMeshConfig } from '../../src/config/mesh.ts';
import { type InjectionConfig, loadConfig } from '../../src/inject/config.ts';
import { templateFunctions } from '../../src/inject/functions.ts';
import { type Injection, injectPod } from '../../src/inject/inject.ts';
import { ownerOf } from '../../src/inject/owner.ts';
import { type Pod, podOf } from '../../src/inject/pod.ts';
import { proxyConfigFor } from '../../src/inject/proxy-config.ts';
import { envOfPath } from '../../src/inject/request-path.ts';
import { formatYaml, parseYaml } from '../../src/sources/yaml.ts';

export const YAML = { parse: parseYaml, format: formatYaml };

export interface Settings {
  readonly namespace?: string;
  readonly native?: boolean;
  readonly revision?: string;
  readonly path?: string;
  readonly mesh?: object;
  readonly values?: object;
  /** Beside the built-in ones. */
  readonly templates?: Readonly<Record<string, string>>;
  readonly config?: object;
}

export function configOf({ values, templates, config }: Settings): InjectionConfig {
  const builtIn = loadConfig({}, YAML);
  if (builtIn.kind === 'failed') throw new Error('the built-in configuration is broken');
  if (builtIn.findings.length > 0) throw new Error(builtIn.findings[0]?.message);
  const loaded = loadConfig(
    {
      config: formatYaml({ templates: templates ?? {}, ...config }),
      values: values === undefined ? undefined : formatYaml(values),
    },
    YAML,
  );
  if (loaded.kind === 'failed') throw new Error(loaded.findings[0]?.message);
  return { ...loaded.config, templates: new Map([...builtIn.config.templates, ...loaded.config.templates]) };
}

export function meshOf({ mesh }: Settings): MeshConfig {
  return parseMeshConfig(mesh ?? {}).mesh;
}

export function parsedPod(raw: unknown): Pod {
  const read = podOf(raw);
  if ('problem' in read) throw new Error(read.problem);
  return read.pod;
}

export function inject(pod: Pod, settings: Settings = {}, config = configOf(settings)): Injection {
  const namespace = pod.metadata.namespace ?? settings.namespace ?? 'shop';
  const mesh = meshOf(settings);
  return injectPod({
    pod,
    namespace,
    owner: ownerOf(pod, namespace),
    config,
    mesh,
    proxyConfig: proxyConfigFor(pod, namespace, mesh, [], YAML),
    revision: settings.revision ?? '',
    env: envOfPath(settings.path ?? '/inject'),
    nativeSidecars: settings.native ?? false,
    version: '1.2.3',
    functions: templateFunctions(YAML),
    yaml: YAML,
  });
}

/** The injected pod; a denial fails the test with its problems. */
export function injected(pod: Pod, settings: Settings = {}): Pod {
  const result = inject(pod, settings);
  if (result.kind === 'denied') throw new Error(result.problems.join('\n'));
  return result.pod;
}

/** Applies a JSON patch, by the book: a wrong path throws. */
export function applyPatch(value: unknown, patch: readonly { op: string; path: string; value?: unknown }[]): unknown {
  // Not structuredClone: it keeps what two places share shared.
  const result = JSON.parse(JSON.stringify(value)) as unknown;
  for (const { op, path, value: item } of patch) {
    const steps = path
      .split('/')
      .slice(1)
      .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = steps.pop() ?? '';
    const parent = steps.reduce<unknown>((at, step) => {
      const next = (at as Record<string, unknown>)[step];
      if (next === undefined) throw new Error(`${path}: ${step} is not there`);
      return next;
    }, result) as Record<string, unknown> | unknown[];
    if (Array.isArray(parent)) {
      const at = Number(last);
      if (at > parent.length || (op !== 'add' && at >= parent.length)) throw new Error(`${path}: out of range`);
      if (op === 'add') parent.splice(at, 0, item);
      else if (op === 'remove') parent.splice(at, 1);
      else parent[at] = item;
    } else if (op === 'remove') {
      if (!(last in parent)) throw new Error(`${path}: nothing to remove`);
      delete parent[last];
    } else parent[last] = item;
  }
  return result;
}
