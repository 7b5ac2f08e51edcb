// `meltemi iptables`: the init step of a pod. Flags and their environment fallbacks as istio-iptables has them.

import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { Command } from 'commander';
import { applyCapture, cleanupCapture } from '../../cni/apply.ts';
import { replaceInput } from '../../cni/present.ts';
import { captureRules, type Family } from '../../cni/rules.ts';
import { CAPTURE_DEFAULTS, type CaptureSettings } from '../../cni/settings.ts';
import { captureIsInForce, NOT_CAPTURED } from '../../cni/validation.ts';
import { type CommandContext, UsageError } from '../program.ts';

interface Flags {
  readonly envoyPort: string;
  readonly inboundCapturePort: string;
  readonly proxyUid: string;
  readonly proxyGid: string;
  readonly istioInboundInterceptionMode: string;
  readonly istioInboundPorts: string;
  readonly istioLocalExcludePorts: string;
  readonly istioServiceCidr: string;
  readonly istioServiceExcludeCidr: string;
  readonly istioOutboundPorts: string;
  readonly istioLocalOutboundPortsExclude: string;
  readonly istioExcludeInterfaces: string;
  readonly kubeVirtInterfaces: string;
  readonly redirectDns?: boolean;
  readonly captureAllDns?: boolean;
  readonly dnsServers: string;
  readonly dropInvalid?: boolean;
  readonly ipv6?: boolean;
  readonly dryRun?: boolean;
  readonly cleanupOnly?: boolean;
  readonly reconcile?: boolean;
  readonly skipRuleApply?: boolean;
  readonly runValidation?: boolean;
  readonly forceApply?: boolean;
}

/** Sets, prints (`--dry-run`) or removes (`--cleanup-only`) the capture rules of this network namespace. */
export async function iptables(args: readonly string[], context: CommandContext): Promise<number> {
  const command = definition(context.env);
  command.exitOverride().parse([...args], { from: 'user' });
  const flags = command.opts<Flags>();
  const settings = settingsOf(flags, context.env);
  if (flags.dryRun === true) {
    const families: readonly Family[] = settings.ipv6 ? ['v4', 'v6'] : ['v4'];
    for (const family of families) context.out(replaceInput([], captureRules(settings, family)));
    return 0;
  }
  if (flags.cleanupOnly === true) {
    await cleanupCapture(settings);
    return 0;
  }
  if (flags.skipRuleApply !== true) {
    const result = await applyCapture(settings, flags.reconcile === true || flags.forceApply === true);
    if (result.kind === 'conflict') throw new UsageError(result.message);
    context.out(result.kind === 'applied' ? 'traffic capture is in force' : 'traffic capture was in force already');
  }
  return flags.runValidation === true ? await runValidation(settings, context) : 0;
}

const VALIDATION_MS = 5000;

async function runValidation(
  { outboundPort, inboundPort }: CaptureSettings,
  { out, err }: CommandContext,
): Promise<number> {
  if (await captureIsInForce({ ports: [outboundPort, inboundPort], timeoutMs: VALIDATION_MS })) {
    out('traffic capture is in force');
    return 0;
  }
  err(
    'meltemi: no capture rules are in force in this pod: the CNI plugin of the mesh has not set them. ' +
      'Is it running on this node, and was it when the pod was created?',
  );
  return NOT_CAPTURED;
}

type Env = CommandContext['env'];

/** Every flag has a variable of the same name behind it, in capitals: pods and machines set those. */
function definition(env: Env): Command {
  const { proxyUid, proxyGid, outboundPort, inboundPort, excludeInboundPorts } = CAPTURE_DEFAULTS;
  const command = new Command('iptables');
  const text = (flags: string, about: string, fallback: string): void => {
    command.option(flags, about, env[variableOf(flags)] ?? fallback);
  };
  const toggle = (flags: string, about: string): void => {
    command.option(flags, about, env[variableOf(flags)] === 'true');
  };
  text('-p, --envoy-port <port>', 'outbound capture port', String(outboundPort));
  text('-z, --inbound-capture-port <port>', 'inbound capture port', String(inboundPort));
  text('-u, --proxy-uid <uid>', 'user of the sidecar', proxyUid);
  text('-g, --proxy-gid <gid>', 'group of the sidecar', proxyGid);
  text('-m, --istio-inbound-interception-mode <mode>', 'REDIRECT or TPROXY', 'REDIRECT');
  text('-b, --istio-inbound-ports <ports>', 'inbound ports to capture, or *', '*');
  text('-d, --istio-local-exclude-ports <ports>', 'inbound ports to leave alone', excludeInboundPorts.join(','));
  text('-i, --istio-service-cidr <cidrs>', 'outbound ranges to capture, or *', '*');
  text('-x, --istio-service-exclude-cidr <cidrs>', 'outbound ranges to leave alone', '');
  text('-q, --istio-outbound-ports <ports>', 'outbound ports to capture whatever their range', '');
  text('-o, --istio-local-outbound-ports-exclude <ports>', 'outbound ports to leave alone', '');
  text('-c, --istio-exclude-interfaces <names>', 'interfaces to leave alone', '');
  text('-k, --kube-virt-interfaces <names>', 'interfaces of virtual machines', '');
  toggle('--redirect-dns', 'capture DNS to the resolvers of --dns-servers');
  toggle('--capture-all-dns', 'capture all DNS');
  text('--dns-servers <addresses>', 'resolvers, comma separated', '');
  toggle('--drop-invalid', 'drop packets that belong to no connection');
  toggle('--ipv6', 'set the rules for IPv6 too; otherwise only if there is an address to reach');
  toggle('-n, --dry-run', 'print the rules');
  toggle('--cleanup-only', 'remove the rules');
  toggle('--reconcile', 'replace rules of other settings');
  toggle('--force-apply', 'the same, by its older name');
  toggle('--skip-rule-apply', 'set no rules');
  toggle('--run-validation', 'prove that rules are in force; exit status 126 if they are not');
  return command;
}

function variableOf(flags: string): string {
  const [, name = ''] = /--([a-z0-9-]+)/.exec(flags) ?? [];
  return name.replaceAll('-', '_').toUpperCase();
}

function settingsOf(flags: Flags, env: Env): CaptureSettings {
  const mode = flags.istioInboundInterceptionMode;
  const redirectDns = flags.redirectDns === true || env['ISTIO_META_DNS_CAPTURE'] === 'true';
  if (mode !== 'REDIRECT' && mode !== 'TPROXY')
    throw new UsageError(`--istio-inbound-interception-mode ${mode}: expected REDIRECT or TPROXY`, 64);
  return {
    mode,
    outboundPort: Number(flags.envoyPort),
    inboundPort: Number(flags.inboundCapturePort),
    proxyUid: flags.proxyUid,
    proxyGid: flags.proxyGid,
    includeInboundPorts: ports('istio-inbound-ports', flags.istioInboundPorts),
    excludeInboundPorts: ports('istio-local-exclude-ports', flags.istioLocalExcludePorts),
    includeOutboundRanges: list(flags.istioServiceCidr),
    excludeOutboundRanges: list(flags.istioServiceExcludeCidr),
    includeOutboundPorts: ports('istio-outbound-ports', flags.istioOutboundPorts),
    excludeOutboundPorts: ports('istio-local-outbound-ports-exclude', flags.istioLocalOutboundPortsExclude),
    includeOwnerGroups: list(env['ISTIO_OUTBOUND_OWNER_GROUPS'] || '*'),
    excludeOwnerGroups: list(env['ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE'] ?? ''),
    excludeInterfaces: list(flags.istioExcludeInterfaces),
    rerouteInterfaces: list(flags.kubeVirtInterfaces),
    captureDns: redirectDns || flags.captureAllDns === true,
    dnsServers: flags.captureAllDns === true ? [] : dnsServersOf(flags.dnsServers, redirectDns),
    dropInvalid: flags.dropInvalid === true || env['INVALID_DROP'] === 'true',
    ipv6: flags.ipv6 === true || hasIpv6(),
  };
}

/** Queries to other servers than the pod's own are an application's own affair. */
function dnsServersOf(given: string, redirects: boolean): readonly string[] {
  if (given !== '' || !redirects) return list(given);
  try {
    return [...readFileSync('/etc/resolv.conf', 'utf8').matchAll(/^nameserver\s+(\S+)/gm)].map(
      ([, server]) => server ?? '',
    );
  } catch {
    return [];
  }
}

/** An address by which others reach this namespace: traffic to it must not get past the sidecar. */
function hasIpv6(): boolean {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return addresses.some(
    ({ family, internal, address }) => family === 'IPv6' && !internal && !address.startsWith('fe80'),
  );
}

function list(text: string): readonly string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

function ports(flag: string, text: string): readonly string[] {
  const entries = list(text);
  const bad = entries.find((entry) => entry !== '*' && !(/^\d{1,5}$/.test(entry) && Number(entry) <= 65535));
  if (bad !== undefined) throw new UsageError(`--${flag} ${bad}: expected a port number or *`, 64);
  return entries;
}
