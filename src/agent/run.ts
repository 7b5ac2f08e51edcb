// `meltemi agent` and `meltemi bootstrap`: from environment and flags to a running agent, or to a printed bootstrap.
// In: flags, environment, ports; out: the exit code. Called by the command line.

import { bootstrapOf } from './bootstrap.ts';
import { startAgent, type AgentPortsOut } from './agent.ts';
import { type AgentConfig, resolveConfig } from './config.ts';
import { type AgentFlags, type AgentInputs, readInputs } from './inputs.ts';

export type { AgentFlags } from './inputs.ts';

export interface SignalSource {
  on(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
  off(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
}

/** Decides the configuration and logs what was not understood of the inputs. */
export async function loadConfig(
  flags: AgentFlags,
  env: AgentInputs['env'],
  warn: (remark: string) => void,
): Promise<AgentConfig> {
  const { config, remarks } = resolveConfig(await readInputs(env, flags));
  for (const remark of remarks) warn(remark);
  return config;
}

/** The bootstrap as `meltemi bootstrap` prints it. */
export async function renderBootstrap(
  flags: AgentFlags,
  env: AgentInputs['env'],
  warn: (remark: string) => void,
): Promise<object> {
  return bootstrapOf(await loadConfig(flags, env, warn));
}

/** Runs until Envoy has ended or a signal has stopped it; gives the exit code to end with. */
export async function runAgent(
  flags: AgentFlags,
  env: AgentInputs['env'],
  ports: AgentPortsOut,
  signals: SignalSource,
): Promise<number> {
  const log = ports.log.child('agent');
  const config = await loadConfig(flags, env, (remark) => log.warn({}, remark));
  log.info(
    { node: config.nodeId, discovery: config.discovery.address, identity: config.certificates.identity },
    'starting',
  );
  const agent = await startAgent(config, ports);
  let isStopping = false;
  const onSignal = (): void => {
    isStopping = true;
    void agent.stop();
  };
  signals.on('SIGTERM', onSignal);
  signals.on('SIGINT', onSignal);
  const end = await agent.ended;
  signals.off('SIGTERM', onSignal);
  signals.off('SIGINT', onSignal);
  return isStopping ? 0 : (end.code ?? 1);
}
