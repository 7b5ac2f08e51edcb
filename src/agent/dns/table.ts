// The names that the control plane has given to the DNS proxy, and what they answer.
// In: an encoded NameTable, a name that is asked for; out: addresses, or that others have to be asked. Pure.

import { decode } from '../../codec/index.ts';
import { parseIp } from '../../lib/ip.ts';
import type { Messages } from '../../messages/index.ts';

type NameInfo = Messages['istio.networking.nds.v1.NameTable.NameInfo'];

export interface NameScope {
  /** Of the proxy. */
  readonly namespace: string;
  /** `svc.cluster.local`, without the namespace that the proxy's domain begins with. */
  readonly serviceDomain: string;
  /** The first search domain of resolv.conf, which resolvers append before they ask; empty if there is none. */
  readonly searchDomain: string;
}

export interface Found {
  /** Set when the name was asked for with the search domain behind it: it is an alias of this name. */
  readonly alias: string | undefined;
  readonly ips: readonly string[];
}

export interface NameTable {
  /** `name` in lower case with a dot at the end. Undefined: a host that is not in the table. */
  find(name: string): Found | undefined;
  /** For debugging. */
  readonly hosts: ReadonlyMap<string, readonly string[]>;
}

/** Throws when the bytes are no table. */
export function readNameTable(bytes: Uint8Array, scope: NameScope): NameTable {
  const { table = {} } = decode('istio.networking.nds.v1.NameTable', bytes);
  const hosts = new Map<string, readonly string[]>();
  const infos = Object.entries(table) as readonly (readonly [string, NameInfo])[];
  for (const [host, info] of infos) {
    const ips = (info.ips ?? []).filter((ip) => parseIp(ip) !== undefined);
    for (const name of namesOf(host.toLowerCase(), info, scope)) {
      // What is written out in full is not hidden by somebody's short form.
      if (name === `${host.toLowerCase()}.` || !hosts.has(name)) hosts.set(name, ips);
    }
  }
  const suffix = scope.searchDomain === '' ? undefined : `.${scope.searchDomain.toLowerCase().replace(/\.$/, '')}.`;
  return { hosts, find: (name) => find(hosts, suffix, name) };
}

/** The forms in which a name may be asked for inside the cluster. */
function namesOf(host: string, { registry, shortname = '', namespace = '' }: NameInfo, scope: NameScope): string[] {
  const names = [`${host}.`];
  const isLocal = registry === 'Kubernetes' && shortname !== '' && host.endsWith(`.${scope.serviceDomain}`);
  if (!isLocal) return names;
  const [zone = 'svc'] = scope.serviceDomain.split('.');
  const short = `${shortname}.${namespace}`.toLowerCase();
  names.push(`${short}.`, `${short}.${zone}.`);
  if (namespace === scope.namespace) names.push(`${shortname.toLowerCase()}.`);
  return names;
}

function find(
  hosts: ReadonlyMap<string, readonly string[]>,
  suffix: string | undefined,
  name: string,
): Found | undefined {
  const exact = hosts.get(name);
  if (exact !== undefined) return { alias: undefined, ips: exact };
  const bare = suffix !== undefined && name.endsWith(suffix) ? `${name.slice(0, -suffix.length)}.` : undefined;
  const expanded = bare === undefined ? undefined : hosts.get(bare);
  if (expanded !== undefined) return { alias: bare, ips: expanded };
  return wildcard(hosts, name, undefined) ?? (bare === undefined ? undefined : wildcard(hosts, bare, bare));
}

/** The nearest `*.suffix`. */
function wildcard(
  hosts: ReadonlyMap<string, readonly string[]>,
  name: string,
  alias: string | undefined,
): Found | undefined {
  for (let dot = name.indexOf('.'); dot >= 0 && dot < name.length - 1; dot = name.indexOf('.', dot + 1)) {
    const ips = hosts.get(`*${name.slice(dot)}`);
    if (ips !== undefined) return { alias, ips };
  }
  return undefined;
}
