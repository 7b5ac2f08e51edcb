import { describe, expect, it } from 'vitest';
import { iptables } from '../../src/cli/commands/iptables.ts';
import { readSaved, replaceInput } from '../../src/cni/present.ts';
import { captureRules, type Family, type TableName } from '../../src/cni/rules.ts';
import { CAPTURE_DEFAULTS, type CaptureSettings } from '../../src/cni/settings.ts';

/** The rules of one chain in order, without the chain's name. */
function chainOf(
  chain: string,
  settings: Partial<CaptureSettings> = {},
  table: TableName = 'nat',
  family: Family = 'v4',
): readonly string[] {
  const tables = captureRules({ ...CAPTURE_DEFAULTS, ...settings }, family);
  const rules = tables.find(({ name }) => name === table)?.rules ?? [];
  const chained: string[] = [];
  for (const rule of rules) {
    const [verb, of, ...rest] = rule.split(' ');
    if (of !== chain) continue;
    if (verb === '-A') chained.push(rest.join(' '));
    else chained.splice(Number(rest[0]) - 1, 0, rest.slice(1).join(' '));
  }
  return chained;
}

describe('capture rules by default', () => {
  it("lead all inbound TCP but the mesh's own ports to the inbound listener", () => {
    expect(chainOf('PREROUTING')).toEqual(['-p tcp -j ISTIO_INBOUND']);
    expect(chainOf('ISTIO_INBOUND')).toEqual([
      '-p tcp --dport 15008 -j RETURN',
      '-p tcp --dport 15020 -j RETURN',
      '-p tcp --dport 15021 -j RETURN',
      '-p tcp --dport 15090 -j RETURN',
      '-p tcp -j ISTIO_IN_REDIRECT',
    ]);
    expect(chainOf('ISTIO_IN_REDIRECT')).toEqual(['-p tcp -j REDIRECT --to-ports 15006']);
    expect(chainOf('ISTIO_REDIRECT')).toEqual(['-p tcp -j REDIRECT --to-ports 15001']);
  });

  it.each([
    ['v4', '127.0.0.6/32', '127.0.0.1/32'],
    ['v6', '::6/128', '::1/128'],
  ] as const)('lead outbound TCP of all but the sidecar to the outbound listener, %s', (family, source, loopback) => {
    expect(chainOf('OUTPUT', {}, 'nat', family)).toEqual(['-j ISTIO_OUTPUT']);
    expect(chainOf('ISTIO_OUTPUT', {}, 'nat', family)).toEqual([
      `-o lo -s ${source} -j RETURN`,
      `-o lo ! -d ${loopback} -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT`,
      '-o lo -m owner ! --uid-owner 1337 -j RETURN',
      '-m owner --uid-owner 1337 -j RETURN',
      `-o lo ! -d ${loopback} -p tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT`,
      '-o lo -m owner ! --gid-owner 1337 -j RETURN',
      '-m owner --gid-owner 1337 -j RETURN',
      `-d ${loopback} -j RETURN`,
      '-j ISTIO_REDIRECT',
    ]);
  });

  it('touch no other table', () => {
    expect(captureRules(CAPTURE_DEFAULTS, 'v4').map(({ name }) => name)).toEqual(['nat']);
  });
});

describe('capture settings', () => {
  it('a list of inbound ports captures these alone, and none captures nothing', () => {
    expect(chainOf('ISTIO_INBOUND', { includeInboundPorts: ['80', '8080'], excludeInboundPorts: ['80'] })).toEqual([
      '-p tcp --dport 15008 -j RETURN',
      '-p tcp --dport 80 -j ISTIO_IN_REDIRECT',
      '-p tcp --dport 8080 -j ISTIO_IN_REDIRECT',
    ]);
    expect(chainOf('PREROUTING', { includeInboundPorts: [] })).toEqual([]);
  });

  it('excluded outbound ports come first, excluded ranges before included ports and ranges', () => {
    const rules = chainOf('ISTIO_OUTPUT', {
      excludeOutboundPorts: ['15020'],
      excludeOutboundRanges: ['10.1.0.0/16', 'fd00::/8'],
      includeOutboundPorts: ['5432'],
      includeOutboundRanges: ['10.0.0.0/8', 'fd00::/8', '172.16.0.0/12'],
    });
    expect(rules.slice(0, 3)).toEqual([
      '-p tcp --dport 15020 -j RETURN',
      '-p udp --dport 15020 -j RETURN',
      '-o lo -s 127.0.0.6/32 -j RETURN',
    ]);
    expect(rules.slice(-5)).toEqual([
      '-d 127.0.0.1/32 -j RETURN',
      '-d 10.1.0.0/16 -j RETURN',
      '-p tcp --dport 5432 -j ISTIO_REDIRECT',
      '-d 10.0.0.0/8 -j ISTIO_REDIRECT',
      '-d 172.16.0.0/12 -j ISTIO_REDIRECT',
    ]);
  });

  it('a loopback range to be captured drops the pass for calls of an application to itself', () => {
    const rules = chainOf('ISTIO_OUTPUT', { includeOutboundRanges: ['127.0.0.0/8'] });
    expect(rules.filter((rule) => rule.includes('! --uid-owner') || rule.includes('! --gid-owner'))).toEqual([]);
  });

  it('groups are left out one by one, or all but some are', () => {
    const at = '-m owner --gid-owner 1337 -j RETURN';
    const without = chainOf('ISTIO_OUTPUT', { excludeOwnerGroups: ['202', 'java'] });
    expect(without.slice(without.indexOf(at) + 1, -2)).toEqual([
      '-m owner --gid-owner 202 -j RETURN',
      '-m owner --gid-owner java -j RETURN',
    ]);
    const only = chainOf('ISTIO_OUTPUT', { includeOwnerGroups: ['101', 'java'] });
    expect(only.slice(only.indexOf(at) + 1, -2)).toEqual([
      '-m owner ! --gid-owner 101 -m owner ! --gid-owner java -j RETURN',
    ]);
  });

  it('interfaces are spared, those of virtual machines count as outbound', () => {
    expect(chainOf('PREROUTING', { excludeInterfaces: ['eth1'], rerouteInterfaces: ['vm0'] })).toEqual([
      '-i vm0 -j ISTIO_REDIRECT',
      '-i vm0 -j RETURN',
      '-i eth1 -j RETURN',
      '-p tcp -j ISTIO_INBOUND',
    ]);
    expect(chainOf('OUTPUT', { excludeInterfaces: ['eth1'] })).toEqual(['-o eth1 -j RETURN', '-j ISTIO_OUTPUT']);
    expect(chainOf('PREROUTING', { includeOutboundRanges: ['10.0.0.0/8'], rerouteInterfaces: ['vm0'] })[0]).toBe(
      '-i vm0 -d 10.0.0.0/8 -j ISTIO_REDIRECT',
    );
  });

  it('invalid packets are dropped in the mangle table', () => {
    expect(chainOf('PREROUTING', { dropInvalid: true }, 'mangle')).toEqual([
      '-m conntrack --ctstate INVALID -j ISTIO_DROP',
    ]);
    expect(chainOf('ISTIO_DROP', { dropInvalid: true }, 'mangle')).toEqual(['-j DROP']);
  });
});

describe('capture of DNS', () => {
  it('redirects all of port 53 but what the agent asks, and keeps the two halves apart in conntrack', () => {
    const settings = { captureDns: true };
    expect(chainOf('ISTIO_OUTPUT', settings)).toEqual([
      '-o lo -s 127.0.0.6/32 -j RETURN',
      '-o lo ! -d 127.0.0.1/32 -p tcp -m multiport ! --dports 53,15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT',
      '-o lo -p tcp ! --dport 53 -m owner ! --uid-owner 1337 -j RETURN',
      '-m owner --uid-owner 1337 -j RETURN',
      '-o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT',
      '-o lo -p tcp ! --dport 53 -m owner ! --gid-owner 1337 -j RETURN',
      '-m owner --gid-owner 1337 -j RETURN',
      '-j ISTIO_OUTPUT_DNS',
      '-d 127.0.0.1/32 -j RETURN',
      '-j ISTIO_REDIRECT',
    ]);
    expect(chainOf('ISTIO_OUTPUT_DNS', settings)).toEqual([
      '-p tcp --dport 53 -j REDIRECT --to-ports 15053',
      '-p udp --dport 53 -j REDIRECT --to-ports 15053',
    ]);
    expect(chainOf('OUTPUT', settings, 'raw')).toEqual(['-j ISTIO_OUTPUT_DNS']);
    expect(chainOf('ISTIO_OUTPUT_DNS', settings, 'raw')).toEqual([
      '-p udp --dport 53 -m owner --uid-owner 1337 -j CT --zone 1',
      '-p udp --sport 15053 -m owner --uid-owner 1337 -j CT --zone 2',
      '-p udp --dport 53 -m owner --gid-owner 1337 -j CT --zone 1',
      '-p udp --sport 15053 -m owner --gid-owner 1337 -j CT --zone 2',
      '-p udp --dport 53 -j CT --zone 2',
    ]);
    expect(chainOf('PREROUTING', settings, 'raw')).toEqual(['-j ISTIO_INBOUND']);
    expect(chainOf('ISTIO_INBOUND', settings, 'raw')).toEqual(['-p udp --sport 53 -j CT --zone 1']);
  });

  it('is for the given resolvers of the family where there are some', () => {
    const settings = { captureDns: true, dnsServers: ['10.96.0.10', 'fd00::a'] };
    expect(chainOf('ISTIO_OUTPUT_DNS', settings)).toEqual([
      '-p tcp --dport 53 -d 10.96.0.10/32 -j REDIRECT --to-ports 15053',
      '-p udp --dport 53 -d 10.96.0.10/32 -j REDIRECT --to-ports 15053',
    ]);
    expect(chainOf('ISTIO_INBOUND', settings, 'raw', 'v6')).toEqual([
      '-p udp --sport 53 -s fd00::a/128 -j CT --zone 1',
    ]);
  });
});

describe('TPROXY', () => {
  const settings = { mode: 'TPROXY' } as const;

  it('takes inbound traffic in the mangle table and leaves outbound as it is', () => {
    expect(chainOf('PREROUTING', settings)).toEqual([]);
    expect(chainOf('ISTIO_OUTPUT', settings)).toEqual(chainOf('ISTIO_OUTPUT'));
    expect(chainOf('ISTIO_DIVERT', settings, 'mangle')).toEqual(['-j MARK --set-mark 1337', '-j ACCEPT']);
    expect(chainOf('ISTIO_TPROXY', settings, 'mangle')).toEqual([
      '! -d 127.0.0.1/32 -p tcp -j TPROXY --tproxy-mark 1337/0xffffffff --on-port 15006',
    ]);
    expect(chainOf('ISTIO_INBOUND', settings, 'mangle')).toEqual([
      '-p tcp -m mark --mark 1337 -j RETURN',
      '-p tcp -s 127.0.0.6/32 -i lo -j RETURN',
      '-p tcp -i lo -m mark ! --mark 1338 -j RETURN',
      '-p tcp --dport 15020 -j RETURN',
      '-p tcp --dport 15021 -j RETURN',
      '-p tcp --dport 15090 -j RETURN',
      '-p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT',
      '-p tcp -j ISTIO_TPROXY',
    ]);
    expect(chainOf('PREROUTING', settings, 'mangle')).toEqual([
      '-p tcp -j ISTIO_INBOUND',
      '-p tcp -m mark --mark 1337 -j CONNMARK --save-mark',
    ]);
    expect(chainOf('OUTPUT', settings, 'mangle')).toEqual([
      '-p tcp -o lo -m mark --mark 1337 -j RETURN',
      '! -d 127.0.0.1/32 -p tcp -o lo -m owner --uid-owner 1337 -j MARK --set-mark 1338',
      '! -d 127.0.0.1/32 -p tcp -o lo -m owner --gid-owner 1337 -j MARK --set-mark 1338',
      '-p tcp -m connmark --mark 1337 -j CONNMARK --restore-mark',
    ]);
  });

  it('with a list of ports proxies these alone', () => {
    expect(chainOf('ISTIO_INBOUND', { ...settings, includeInboundPorts: ['80'] }, 'mangle').slice(3)).toEqual([
      '-p tcp --dport 80 -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT',
      '-p tcp --dport 80 -j ISTIO_TPROXY',
    ]);
  });
});

const SAVED = `# Generated by iptables-save
*mangle
:PREROUTING ACCEPT [0:0]
:ISTIO_DIVERT - [0:0]
-A PREROUTING -p tcp -m mark --mark 0x539 -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff
-A PREROUTING -p tcp -j MARK --set-xmark 0x5390/0xffffffff
-A ISTIO_DIVERT -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:ISTIO_OUTPUT - [0:0]
-A PREROUTING -i eth1 -j RETURN
-A PREROUTING -j DOCKER
-A OUTPUT -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
COMMIT
*filter
:INPUT ACCEPT [0:0]
-A INPUT -i eth1 -j RETURN
COMMIT
`;

describe('rules in force', () => {
  it('are told from those of others', () => {
    expect(readSaved(SAVED)).toEqual([
      {
        name: 'mangle',
        chains: ['ISTIO_DIVERT'],
        rules: [
          '-A PREROUTING -p tcp -m mark --mark 0x539 -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff',
          '-A ISTIO_DIVERT -j ACCEPT',
        ],
      },
      {
        name: 'nat',
        chains: ['ISTIO_OUTPUT'],
        rules: [
          '-A PREROUTING -i eth1 -j RETURN',
          '-A OUTPUT -j ISTIO_OUTPUT',
          '-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN',
        ],
      },
    ]);
    expect(readSaved('*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i eth1 -j RETURN\nCOMMIT\n')).toEqual([]);
  });

  it('are replaced table by table, with chains that stay emptied and others removed', () => {
    const wanted = [
      { name: 'nat', chains: ['ISTIO_OUTPUT', 'ISTIO_NEW'], rules: ['-A OUTPUT -j ISTIO_OUTPUT'] },
    ] as const;
    expect(replaceInput(readSaved(SAVED), wanted).split('\n')).toEqual([
      '* mangle',
      '-D PREROUTING -p tcp -m mark --mark 0x539 -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff',
      '-F ISTIO_DIVERT',
      '-X ISTIO_DIVERT',
      'COMMIT',
      '* nat',
      '-D PREROUTING -i eth1 -j RETURN',
      '-D OUTPUT -j ISTIO_OUTPUT',
      '-F ISTIO_OUTPUT',
      '-N ISTIO_NEW',
      '-A OUTPUT -j ISTIO_OUTPUT',
      'COMMIT',
      '',
    ]);
  });
});

describe('meltemi iptables', () => {
  async function dryRun(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
    const out: string[] = [];
    expect(await iptables(['--dry-run', ...args], { env, out: (text) => out.push(text), err: () => undefined })).toBe(
      0,
    );
    return out.join('');
  }

  it('takes flags, then variables, then defaults', async () => {
    const env = { ISTIO_INBOUND_PORTS: '80', ISTIO_LOCAL_EXCLUDE_PORTS: '22', ENVOY_PORT: '9001', PROXY_UID: '998' };
    const text = await dryRun(['-b', '*', '--ipv6'], env);
    expect(text).toContain(
      '-A ISTIO_INBOUND -p tcp --dport 22 -j RETURN\n-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT',
    );
    expect(text).toContain('--to-ports 9001');
    expect(text).toContain('-m owner --uid-owner 998 -j RETURN');
    expect(text).toContain('-d ::1/128 -j RETURN');
    expect(await dryRun([], { INVALID_DROP: 'true', ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: 'root' })).toMatch(
      /INVALID -j ISTIO_DROP[^]*--gid-owner root -j RETURN/,
    );
  });

  it('captures DNS where the proxy answers it, by the variable that proxies have', async () => {
    const env = { ISTIO_META_DNS_CAPTURE: 'true', DNS_SERVERS: '10.96.0.10' };
    expect(await dryRun([], env)).toContain('--dport 53 -d 10.96.0.10/32 -j REDIRECT --to-ports 15053');
    expect(await dryRun([], { ...env, ISTIO_META_DNS_CAPTURE: 'false' })).not.toContain('15053');
  });

  it('refuses what is no port and no mode', async () => {
    await expect(dryRun(['-b', '80,http'])).rejects.toThrow('istio-inbound-ports http');
    await expect(dryRun(['-m', 'NONE'])).rejects.toThrow('expected REDIRECT or TPROXY');
  });
});
