// `meltemi iptables`: the init step of a pod. Flags and their environment fallbacks as istio-iptables has them.

import { Command } from 'commander';
import { applyCapture, cleanupCapture } from '../../cni/apply.ts';
import { captureRules, restoreInput } from '../../cni/rules.ts';
import { CAPTURE_DEFAULTS, type CaptureSettings } from '../../cni/settings.ts';
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
}

/** Sets, prints (`--dry-run`) or removes (`--cleanup-only`) the capture rules of this network namespace. */
export async function iptables(args: readonly string[], context: CommandContext): Promise<number> {
  const command = definition();
  command.exitOverride().parse([...args], { from: 'user' });
  const flags = command.opts<Flags>();
  const settings = settingsOf(flags);
  if (flags.dryRun === true) {
    context.out(restoreInput(captureRules(settings, 'v4')));
    if (settings.ipv6) context.out(restoreInput(captureRules(settings, 'v6')));
    return 0;
  }
  if (flags.cleanupOnly === true) {
    await cleanupCapture(settings);
    return 0;
  }
  const result = await applyCapture(settings, flags.reconcile === true);
  if (result.kind === 'conflict') throw new UsageError(result.message);
  context.out(result.kind === 'applied' ? 'traffic capture is in force' : 'traffic capture was in force already');
  return 0;
}

function definition(): Command {
  const { proxyUid, proxyGid, outboundPort, inboundPort } = CAPTURE_DEFAULTS;
  return new Command('iptables')
    .option('-p, --envoy-port <port>', 'outbound capture port', String(outboundPort))
    .option('-z, --inbound-capture-port <port>', 'inbound capture port', String(inboundPort))
    .option('-u, --proxy-uid <uid>', 'user of the sidecar', proxyUid)
    .option('-g, --proxy-gid <gid>', 'group of the sidecar', proxyGid)
    .option('-m, --istio-inbound-interception-mode <mode>', 'REDIRECT or TPROXY', 'REDIRECT')
    .option('-b, --istio-inbound-ports <ports>', 'inbound ports to capture, or *', '*')
    .option(
      '-d, --istio-local-exclude-ports <ports>',
      'inbound ports to leave alone',
      CAPTURE_DEFAULTS.excludeInboundPorts.join(','),
    )
    .option('-i, --istio-service-cidr <cidrs>', 'outbound ranges to capture, or *', '*')
    .option('-x, --istio-service-exclude-cidr <cidrs>', 'outbound ranges to leave alone', '')
    .option('-q, --istio-outbound-ports <ports>', 'outbound ports to capture whatever their range', '')
    .option('-o, --istio-local-outbound-ports-exclude <ports>', 'outbound ports to leave alone', '')
    .option('-c, --istio-exclude-interfaces <names>', 'interfaces to leave alone', '')
    .option('-k, --kube-virt-interfaces <names>', 'interfaces of virtual machines', '')
    .option('--redirect-dns', 'capture DNS to the resolvers of --dns-servers')
    .option('--capture-all-dns', 'capture all DNS')
    .option('--dns-servers <addresses>', 'resolvers, comma separated', '')
    .option('--drop-invalid', 'drop packets that belong to no connection')
    .option('--ipv6', 'set the rules for IPv6 too')
    .option('-n, --dry-run', 'print the rules')
    .option('--cleanup-only', 'remove the rules')
    .option('--reconcile', 'replace rules of other settings');
}

function settingsOf(flags: Flags): CaptureSettings {
  const mode = flags.istioInboundInterceptionMode;
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
    excludeInterfaces: list(flags.istioExcludeInterfaces),
    rerouteInterfaces: list(flags.kubeVirtInterfaces),
    captureDns: flags.redirectDns === true || flags.captureAllDns === true,
    dnsServers: flags.captureAllDns === true ? [] : list(flags.dnsServers),
    dropInvalid: flags.dropInvalid === true,
    ipv6: flags.ipv6 === true,
  };
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
