// `meltemi kube-inject`: what the injection webhook does, to files. As the control plane of a cluster is set up, where one is
// named or found; as files say, where they are given; else by the built-in templates.

import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_MESH_CONFIG, type MeshConfig, parseMeshConfig } from '../../config/mesh.ts';
import { type InjectionConfig, loadConfig } from '../../inject/config.ts';
import { templateFunctions } from '../../inject/functions.ts';
import { nativeSidecars } from '../../inject/native.ts';
import { injectWorkload, type WorkloadSettings } from '../../inject/workload.ts';
import { splitDocuments } from '../../sources/documents.ts';
import { formatYaml, parseYaml } from '../../sources/yaml.ts';
import { type ClusterFlags, withCluster } from '../cluster/cluster.ts';
import { type InjectionTexts, readInjection } from '../cluster/injection.ts';
import { packageVersion } from '../package-version.ts';
import { type CommandContext, UsageError } from '../program.ts';
import { readInputs } from '../read-input.ts';

export interface KubeInjectFlags {
  readonly filename: string;
  readonly output?: string;
  readonly injectConfigFile?: string;
  readonly meshConfigFile?: string;
  readonly valuesFile?: string;
  readonly revision?: string;
  readonly namespace?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  /** Of the control plane; `istio-system` by default. */
  readonly istioNamespace?: string;
}

const YAML = { parse: parseYaml, format: formatYaml };

export async function kubeInject(flags: KubeInjectFlags, context: CommandContext): Promise<number> {
  const settings = await settingsOf(flags, context);
  const inputs = await readInputs([flags.filename], process.stdin);
  const out = inputs.flatMap(({ name, text }) => injectText(name, text, settings, context));
  const result = out.join('---\n');
  if (flags.output === undefined) context.out(result);
  else await writeFile(flags.output, result);
  return 0;
}

async function settingsOf(flags: KubeInjectFlags, context: CommandContext): Promise<WorkloadSettings> {
  const { env, err } = context;
  const setting = env['ENABLE_NATIVE_SIDECARS'] ?? 'auto';
  if (setting !== 'auto' && setting !== 'true' && setting !== 'false')
    throw new UsageError(`ENABLE_NATIVE_SIDECARS ${setting}: expected auto, true or false`, 64);
  const { injectConfigFile, valuesFile, meshConfigFile } = flags;
  const live = await ofCluster(flags, context);
  const injection = live ?? {
    config: await textOf(injectConfigFile),
    values: await textOf(valuesFile),
    origins: undefined,
  };
  const mesh = live === undefined ? await textOf(meshConfigFile) : live.mesh;
  return {
    config: injectionConfig(injection, injection.origins?.injection ?? injectConfigFile ?? valuesFile, err),
    mesh: meshConfig(mesh, live?.origins.mesh ?? meshConfigFile ?? '', err),
    namespace: flags.namespace ?? 'default',
    revision: flags.revision ?? env['REVISION'] ?? '',
    nativeSidecars: nativeSidecars(setting, live?.nodes ?? [], undefined),
    version: packageVersion(),
    functions: templateFunctions(YAML),
    yaml: YAML,
  };
}

/** Undefined where files are given, or there is no cluster to ask. */
async function ofCluster(flags: KubeInjectFlags, { env, err }: CommandContext): Promise<InjectionTexts | undefined> {
  const { injectConfigFile, valuesFile, meshConfigFile, kubeconfig, context, istioNamespace = 'istio-system' } = flags;
  if (injectConfigFile !== undefined || valuesFile !== undefined || meshConfigFile !== undefined) return undefined;
  const isNamed = kubeconfig !== undefined || context !== undefined;
  if (!isNamed && env['KUBECONFIG'] === undefined && !existsSync(join(homedir(), '.kube', 'config'))) return undefined;
  const revision = flags.revision ?? env['REVISION'] ?? '';
  try {
    const found = await withCluster({ istioNamespace, ...named(flags) }, (cluster) =>
      readInjection(cluster, istioNamespace, revision),
    );
    if (found !== undefined) return found;
    throw new UsageError(
      `no control plane of revision ${revision === '' ? 'default' : revision} in namespace ${istioNamespace} of the cluster`,
    );
  } catch (error) {
    if (isNamed || !(error instanceof UsageError)) throw error;
    err(`note: ${error.message}: the built-in templates and values are used`);
    return undefined;
  }
}

function named({ kubeconfig, context }: KubeInjectFlags): Pick<ClusterFlags, 'kubeconfig' | 'context'> {
  return {
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
  };
}

function injectionConfig(
  { config, values }: Pick<InjectionTexts, 'config' | 'values'>,
  origin: string | undefined,
  err: (text: string) => void,
): InjectionConfig {
  const loaded = loadConfig({ config, values, origin }, YAML);
  const problems = loaded.findings.map(({ message }) => message);
  if (loaded.kind === 'failed') throw new UsageError(problems.join('\n'), 65);
  for (const problem of problems) err(problem);
  return loaded.config;
}

function meshConfig(text: string | undefined, origin: string, err: (text: string) => void): MeshConfig {
  if (text === undefined) return DEFAULT_MESH_CONFIG;
  const parsed = parseYaml(text);
  if (parsed.kind === 'problem')
    throw new UsageError(`${origin}:${parsed.at.line}:${parsed.at.column}: ${parsed.message}`, 65);
  const { mesh, findings } = parseMeshConfig(parsed.value);
  for (const { path, message } of findings) err(`${origin}: ${path ?? ''}: ${message}`);
  return mesh;
}

async function textOf(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** The documents of one text: injected ones as YAML, others as they were written. */
function injectText(
  name: string,
  text: string,
  settings: WorkloadSettings,
  { err }: CommandContext,
): readonly string[] {
  return splitDocuments(text).map((chunk) => {
    const parsed = parseYaml(chunk.text);
    if (parsed.kind === 'problem')
      throw new UsageError(`${name}:${parsed.at.line + chunk.line - 1}:${parsed.at.column}: ${parsed.message}`, 65);
    const result = injectWorkload(parsed.value, settings);
    if (result.kind === 'denied') throw new UsageError(result.problems.join('\n'));
    for (const note of result.notes) err(`note: ${note}`);
    return result.kind === 'injected' ? formatYaml(result.object) : written(chunk.text);
  });
}

/** Without the marker in front: one is put between all documents. */
function written(text: string): string {
  const plain = text.replace(/^---[ \t]*\n/, '');
  return plain.endsWith('\n') ? plain : `${plain}\n`;
}
