// The flags of `meltemi agent`, and a reading of them that needs no library: what runs beside every proxy carries no parser
// for all the other commands. Called by the whole program, and by the agent's own start.

import type { Command } from 'commander';
import type { AgentFlags } from '../agent/run.ts';
import type { LogFlags } from './commands/agent.ts';

interface AgentFlag {
  /** As commander writes it. */
  readonly form: string;
  readonly about: string;
  readonly number?: true;
}

/** What the environment leaves open or says otherwise; all else comes from the environment, as a pod's does. */
const AGENT_FLAGS: readonly AgentFlag[] = [
  { form: '--domain <domain>', about: 'DNS domain of the proxy: NAMESPACE.svc.SUFFIX' },
  { form: '--serviceCluster <name>', about: 'cluster name of the node' },
  { form: '--discoveryAddress <address>', about: 'control plane' },
  { form: '--caAddress <address>', about: 'certificate authority, when it is another server' },
  { form: '--rootFile <file>', about: 'roots of the control plane, PEM' },
  { form: '--tokenFile <file>', about: 'token to authenticate with, read at each use' },
  { form: '--runDirectory <dir>', about: 'where the bootstrap and the xDS socket are put' },
  { form: '--sdsSocket <file>', about: 'socket on which secrets are served' },
  { form: '--bindAddress <ip>', about: 'address of the health and metrics listeners' },
  { form: '--localAddress <ip>', about: 'loopback address of admin and status' },
  { form: '--adminPort <port>', about: 'Envoy admin', number: true },
  { form: '--statusPort <port>', about: 'agent status', number: true },
  { form: '--healthPort <port>', about: 'health listener', number: true },
  { form: '--prometheusPort <port>', about: 'metrics listener', number: true },
  { form: '--envoyPath <file>', about: 'Envoy binary; otherwise ENVOY, PATH or the cache' },
  { form: '--concurrency <n>', about: 'worker threads of Envoy', number: true },
  { form: '--proxyLogLevel <level>', about: 'log level of Envoy' },
  { form: '--proxyComponentLogLevel <levels>', about: 'log levels of components of Envoy' },
  { form: '--dnsAddress <address>', about: 'host:port of the DNS proxy' },
  { form: '--dnsResolvers <addresses>', about: 'resolvers to ask in place of those in resolv.conf, with commas' },
  { form: '--log_output_level <levels>', about: 'none, error, warn, info, debug; or scope:level,…' },
  { form: '--log_as_json', about: 'one JSON object a line' },
];

/** To a command of the whole program. */
export function addAgentFlags(command: Command): Command {
  for (const { form, about, number } of AGENT_FLAGS) {
    if (number === true) command.option(form, about, Number);
    else command.option(form, about);
  }
  return command;
}

interface AgentArguments {
  readonly role: string | undefined;
  readonly flags: AgentFlags & LogFlags;
}

/** `[role] --flag value --flag=value`. Undefined for whatever else is there, which the whole program knows how to answer. */
export function readAgentFlags(args: readonly string[]): AgentArguments | undefined {
  const known = new Map(AGENT_FLAGS.map((flag) => [flag.form.split(' ')[0], flag]));
  const flags: Record<string, string | number | boolean> = {};
  const roles: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? '';
    const [, name = '', inline] = /^(--[^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
    const flag = known.get(name);
    if (!arg.startsWith('-')) roles.push(arg);
    else if (flag === undefined) return undefined;
    else if (flag.form === name) {
      if (inline !== undefined) return undefined;
      flags[name.slice(2)] = true;
    } else {
      const value = inline ?? args[++at];
      if (value === undefined) return undefined;
      flags[name.slice(2)] = flag.number === true ? Number(value) : value;
    }
  }
  return roles.length > 1 ? undefined : { role: roles[0], flags };
}
