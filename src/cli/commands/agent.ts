// `meltemi agent` and `meltemi bootstrap`. Nothing of the control plane is loaded here.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type AgentFlags, renderBootstrap, runAgent } from '../../agent/run.ts';
import { createPlainLog } from '../../telemetry/plain-log.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { type CommandContext, UsageError } from '../context.ts';
import { packageVersion } from '../package-version.ts';
import { ensureEnvoy } from '../envoy-binary.ts';

export interface LogFlags {
  readonly log_output_level?: string;
  readonly log_as_json?: boolean;
}

/** Runs until Envoy ends or a signal stops it; gives Envoy's exit code. */
export async function agent(
  role: string | undefined,
  flags: AgentFlags & LogFlags,
  context: CommandContext,
): Promise<number> {
  const levels = flags.log_output_level ?? context.env['LOG_LEVEL'];
  const { log } = createPlainLog({ levels, json: flags.log_as_json });
  const metrics = createMetrics();
  const envoyPath = flags.envoyPath ?? (await ensureEnvoy({ env: context.env, onInstall: context.err }));
  const ports = {
    log,
    meter: metrics.meter,
    clock: { now: Date.now },
    timers: {
      setTimeout: (fn: () => void, ms: number) => {
        const timer = setTimeout(fn, ms);
        return () => clearTimeout(timer);
      },
    },
    random: Math.random,
    path: context.env['PATH'] ?? '',
    renderMetrics: () => metrics.render(),
  };
  return await runAgent(
    { flags: { ...withRole(role, flags), envoyPath }, env: withVersion(context.env), parseYaml },
    ports,
    process,
  );
}

/** Prints the bootstrap as JSON, or writes it to a file; remarks about the environment go to stderr. */
export async function bootstrap(
  role: string | undefined,
  flags: AgentFlags & { readonly output?: string },
  context: CommandContext,
): Promise<number> {
  const request = { flags: withRole(role, flags), env: withVersion(context.env), parseYaml };
  const text = JSON.stringify(await renderBootstrap(request, context.err), undefined, 2);
  const { output } = flags;
  if (output === undefined) {
    context.out(text);
    return 0;
  }
  try {
    await mkdir(dirname(output), { recursive: true });
    await writeFile(output, `${text}\n`);
  } catch (error) {
    throw new UsageError(`--output ${output}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return 0;
}

/** YAML is rare in an agent's inputs, and its parser is large: loaded when there is some. */
async function parseYaml(text: string): Promise<unknown> {
  return (await import('yaml')).parse(text);
}

/** The control plane's tools show by which agent a proxy is run. */
function withVersion(env: CommandContext['env']): CommandContext['env'] {
  return { ISTIO_META_MELTEMI_VERSION: packageVersion(), ...env };
}

function withRole(role: string | undefined, flags: AgentFlags): AgentFlags {
  if (role === undefined) return flags;
  if (role !== 'sidecar' && role !== 'router') throw new UsageError(`${role}: expected sidecar or router`, 64);
  return { ...flags, role };
}
