// `meltemi agent` and `meltemi bootstrap`: from environment and flags to a running agent, or to a printed bootstrap.
// In: flags, environment, ports; out: the exit code. Called by the command line.

import { type AgentPorts, startAgent } from './agent.ts';
import { bootstrapOf } from './bootstrap.ts';
import { type AgentConfig, resolveConfig } from './config.ts';
import { type AgentFlags, type AgentInputs, type ParseYaml, readInputs } from './inputs.ts';

export type { AgentPorts } from './agent.ts';
export type { AgentFlags, ParseYaml } from './inputs.ts';

export interface AgentRequest {
  readonly flags: AgentFlags;
  readonly env: AgentInputs['env'];
  readonly parseYaml: ParseYaml;
}

export interface SignalSource {
  on(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
  off(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
}

/** Decides the configuration and reports what was not understood of the inputs. */
export async function loadConfig(request: AgentRequest, warn: (remark: string) => void): Promise<AgentConfig> {
  const { config, remarks } = resolveConfig(await readInputs(request.env, request.flags, request.parseYaml));
  for (const remark of remarks) warn(remark);
  return config;
}

/** The bootstrap as `meltemi bootstrap` prints it. */
export async function renderBootstrap(request: AgentRequest, warn: (remark: string) => void): Promise<object> {
  return bootstrapOf(await loadConfig(request, warn));
}

/** Runs until Envoy has ended or a signal has stopped it; gives the exit code to end with. */
export async function runAgent(request: AgentRequest, ports: AgentPorts, signals: SignalSource): Promise<number> {
  const log = ports.log.child('agent');
  const config = await loadConfig(request, (remark) => log.warn({}, remark));
  const { nodeId: node, discovery, certificates } = config;
  log.info({ node, discovery: discovery.address, identity: certificates.identity }, 'starting');
  let isStopping = false;
  let stop: () => void = () => undefined;
  const onSignal = (): void => {
    isStopping = true;
    stop();
  };
  signals.on('SIGTERM', onSignal);
  signals.on('SIGINT', onSignal);
  try {
    const agent = await startAgent(config, ports);
    stop = () => void agent.stop();
    if (isStopping) stop();
    const end = await agent.ended;
    return isStopping ? 0 : (end.code ?? 1);
  } finally {
    signals.off('SIGTERM', onSignal);
    signals.off('SIGINT', onSignal);
  }
}
