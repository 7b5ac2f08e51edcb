// `meltemi kube-inject`: what the injection webhook does, to files.

import { readFile, writeFile } from 'node:fs/promises';
import { DEFAULT_MESH_CONFIG, type MeshConfig, parseMeshConfig } from '../../config/mesh.ts';
import { type InjectionConfig, loadConfig } from '../../inject/config.ts';
import { templateFunctions } from '../../inject/functions.ts';
import { nativeSidecars } from '../../inject/native.ts';
import { injectWorkload, type WorkloadSettings } from '../../inject/workload.ts';
import { splitDocuments } from '../../sources/documents.ts';
import { formatYaml, parseYaml } from '../../sources/yaml.ts';
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

async function settingsOf(flags: KubeInjectFlags, { env, err }: CommandContext): Promise<WorkloadSettings> {
  const setting = env['ENABLE_NATIVE_SIDECARS'] ?? 'auto';
  if (setting !== 'auto' && setting !== 'true' && setting !== 'false')
    throw new UsageError(`ENABLE_NATIVE_SIDECARS ${setting}: expected auto, true or false`, 64);
  return {
    config: await injectionConfig(flags, err),
    mesh: await meshConfig(flags, err),
    namespace: flags.namespace ?? 'default',
    revision: flags.revision ?? env['REVISION'] ?? '',
    nativeSidecars: nativeSidecars(setting, [], undefined),
    version: packageVersion(),
    functions: templateFunctions(YAML),
    yaml: YAML,
  };
}

async function injectionConfig(flags: KubeInjectFlags, err: (text: string) => void): Promise<InjectionConfig> {
  const loaded = loadConfig(
    {
      config: await textOf(flags.injectConfigFile),
      values: await textOf(flags.valuesFile),
      origin: flags.injectConfigFile ?? flags.valuesFile,
    },
    YAML,
  );
  const problems = loaded.findings.map(({ message }) => message);
  if (loaded.kind === 'failed') throw new UsageError(problems.join('\n'), 65);
  for (const problem of problems) err(problem);
  return loaded.config;
}

async function meshConfig({ meshConfigFile }: KubeInjectFlags, err: (text: string) => void): Promise<MeshConfig> {
  const text = await textOf(meshConfigFile);
  if (text === undefined) return DEFAULT_MESH_CONFIG;
  const parsed = parseYaml(text);
  if (parsed.kind === 'problem')
    throw new UsageError(`${meshConfigFile}:${parsed.at.line}:${parsed.at.column}: ${parsed.message}`, 65);
  const { mesh, findings } = parseMeshConfig(parsed.value);
  for (const { path, message } of findings) err(`${meshConfigFile}: ${path ?? ''}: ${message}`);
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
