// What is wrong between objects: names that lead nowhere, and objects that lose against others.
// In: the indexes of a snapshot. Out: findings on the object that has to be changed. Read by status, console and CLI.

import { FINDING_CODES, type FindingCode } from '../config/codes.ts';
import type { SecretBody } from '../config/core.ts';
import type { Destination, ServerTLSSettings } from '../config/generated/types.ts';
import type { ConfigObject, Finding } from '../config/object.ts';
import { type DestinationRule, MESH_GATEWAY, type VirtualService } from '../ir/traffic.ts';
import { isWildcard } from '../lib/hosts.ts';
import { compareStrings, orderBy } from '../lib/order.ts';
import { type Table, tableGet, tableValues } from '../lib/table.ts';
import type { Registry } from '../registry/registry.ts';
import type { NamespacedIndex } from './by-namespace.ts';
import { mergeFindings } from './rule-merge.ts';
import { isWide, type Selecting } from './selection.ts';
import type { LinkSettings } from './settings.ts';
import type { SnapshotIndex } from './snapshot.ts';
import { delegateKeys, isUsableDelegate } from './virtual-services.ts';

export interface FindingsSource {
  readonly index: SnapshotIndex;
  readonly registry: Registry;
  readonly settings: LinkSettings;
  readonly secrets: Table<ConfigObject>;
}

interface FindingsInput extends FindingsSource {
  readonly secretsByName: ReadonlyMap<string, ConfigObject>;
}

/** All of them, in the order of kind, namespace, name and path. */
export function snapshotFindings(source: FindingsSource): readonly Finding[] {
  const { index } = source;
  const secretsByName = new Map([...tableValues(source.secrets)].map((secret) => [secret.name, secret]));
  const input: FindingsInput = { ...source, secretsByName };
  const found: Finding[] = [
    ...input.registry.findings,
    ...[...tableValues(index.virtualServices.linked.output)].flatMap((node) => virtualServiceFindings(input, node)),
    ...[...tableValues(index.rules.byNamespace.output)].flatMap((each) => each.rules).flatMap(mergeFindings),
    ...[...tableValues(index.rules.byNamespace.output)]
      .flatMap((each) => each.rules)
      .flatMap((rule) => hostFindings(input, rule)),
    ...index.allGateways.flatMap((gateway) => gatewayFindings(input, gateway)),
    ...losers(index.sidecars, 'IST0111', 'an older Sidecar without workloadSelector applies to the namespace'),
    ...losers(index.policies.peerAuthn, 'MEL0201', 'an older PeerAuthentication without selector applies'),
    ...losers(index.policies.telemetry, 'MEL0202', 'an older Telemetry without selector applies'),
  ];
  return found.sort(compareFindings);
}

const compareFindings = orderBy<Finding>(
  (a, b) => compareStrings(a.ref?.kind ?? '', b.ref?.kind ?? ''),
  (a, b) => compareStrings(a.ref?.namespace ?? '', b.ref?.namespace ?? ''),
  (a, b) => compareStrings(a.ref?.name ?? '', b.ref?.name ?? ''),
  (a, b) => compareStrings(a.path ?? '', b.path ?? ''),
  (a, b) => compareStrings(a.message, b.message),
);

function on(object: ConfigObject, code: FindingCode, path: string, message: string): Finding {
  const { kind, namespace, name, origin } = object;
  return { severity: FINDING_CODES[code].severity, code, ref: { kind, namespace, name }, origin, path, message };
}

function virtualServiceFindings(input: FindingsInput, node: VirtualService): readonly Finding[] {
  const { index } = input;
  const found: Finding[] = [];
  for (const [at, name] of node.gateways.entries()) {
    if (name !== MESH_GATEWAY && tableGet(index.gateways.table, name) === undefined)
      found.push(on(node.object, 'IST0101', `spec.gateways[${at}]`, `there is no Gateway ${name}`));
  }
  const root = tableGet(index.virtualServices.resolved.output, `${node.namespace}/${node.name}`) ?? node;
  for (const key of new Set(delegateKeys(root))) {
    const delegate = tableGet(index.virtualServices.resolved.output, key);
    if (isUsableDelegate(root, delegate)) continue;
    const at = root.http.findIndex(
      (route) => `${route.delegate?.namespace || root.namespace}/${route.delegate?.name}` === key,
    );
    const message =
      delegate === undefined
        ? `there is no VirtualService ${key} to delegate to`
        : delegate.hosts.length > 0
          ? `VirtualService ${key} has hosts, so nothing can be delegated to it`
          : `VirtualService ${key} is not exported to namespace ${root.namespace}`;
    found.push(on(node.object, 'IST0101', `spec.http[${at}].delegate`, message));
  }
  return [...found, ...destinationFindings(input, root)];
}

function destinationFindings(input: FindingsInput, node: VirtualService): readonly Finding[] {
  const found: Finding[] = [];
  const check = (to: Destination | undefined, path: string): void => {
    const message = to === undefined ? undefined : destinationProblem(input, node, to);
    if (message !== undefined) found.push(on(node.object, 'IST0101', path, message));
  };
  for (const [at, route] of node.http.entries()) {
    for (const [to, each] of (route.route ?? []).entries())
      check(each.destination, `spec.http[${at}].route[${to}].destination`);
    check(route.mirror, `spec.http[${at}].mirror`);
    for (const [to, each] of (route.mirrors ?? []).entries())
      check(each.destination, `spec.http[${at}].mirrors[${to}].destination`);
  }
  for (const key of ['tcp', 'tls'] as const) {
    for (const [at, route] of node[key].entries())
      for (const [to, each] of (route.route ?? []).entries())
        check(each.destination, `spec.${key}[${at}].route[${to}].destination`);
  }
  return found;
}

function destinationProblem(input: FindingsInput, node: VirtualService, to: Destination): string | undefined {
  const host = to.host ?? '';
  const services = tableGet(input.registry.services, host);
  if (services === undefined)
    return isCoveredByWildcard(input, host) ? undefined : `host ${host} is not a known service`;
  if (to.subset === undefined || to.subset === '') return undefined;
  const namespaces = new Set([node.namespace, input.settings.rootNamespace, ...services.map((each) => each.namespace)]);
  const rules = [...namespaces].flatMap((each) => tableGet(input.index.rules.byNamespace.output, each)?.rules ?? []);
  const known = rules.some((rule) => covers(rule, host) && rule.subsets.some((subset) => subset.name === to.subset));
  return known ? undefined : `no DestinationRule gives ${host} a subset ${to.subset}`;
}

function covers(rule: DestinationRule, host: string): boolean {
  return rule.host === host || (isWildcard(rule.host) && host.endsWith(rule.host.slice(1)));
}

/** ServiceEntries may stand for names by a wildcard. */
function isCoveredByWildcard(input: FindingsInput, host: string): boolean {
  for (let at = 0; at >= 0; at = host.indexOf('.', at + 1)) {
    if (tableGet(input.registry.services, `*${host.slice(at)}`) !== undefined) return true;
  }
  return tableGet(input.registry.services, '*') !== undefined;
}

function hostFindings(input: FindingsInput, rule: DestinationRule): readonly Finding[] {
  if (isWildcard(rule.host) || tableGet(input.registry.services, rule.host) !== undefined) return [];
  if (isCoveredByWildcard(input, rule.host)) return [];
  return rule.objects.map((object) => on(object, 'IST0174', 'spec.host', `host ${rule.host} is not a known service`));
}

/** Credentials are looked for where the router runs; without knowing that, any namespace that has the name will do. */
function gatewayFindings(input: FindingsInput, gateway: SnapshotIndex['allGateways'][number]): readonly Finding[] {
  const found: Finding[] = [];
  for (const [at, server] of (gateway.spec.servers ?? []).entries()) {
    for (const [name, path] of credentialsOf(server.tls)) {
      const message = credentialProblem(input, name);
      const code = message?.startsWith('there is no') === true ? 'IST0101' : 'IST0161';
      if (message !== undefined) found.push(on(gateway, code, `spec.servers[${at}].tls.${path}`, message));
    }
  }
  return found;
}

function credentialsOf(tls: ServerTLSSettings | undefined): readonly (readonly [name: string, path: string])[] {
  if (tls === undefined) return [];
  const several = (tls.credentialNames ?? []).map((name, at) => [name, `credentialNames[${at}]`] as const);
  const single = several.length === 0 && tls.credentialName ? [[tls.credentialName, 'credentialName'] as const] : [];
  return [...single, ...several];
}

function credentialProblem(input: FindingsInput, credential: string): string | undefined {
  const scheme = /^([a-z-]+):\/\//.exec(credential)?.[1];
  if (scheme !== undefined && scheme !== 'kubernetes' && scheme !== 'kubernetes-gateway') return undefined;
  const plain = scheme === undefined ? credential : credential.slice(scheme.length + 3);
  const slash = plain.indexOf('/');
  const name = plain.slice(slash + 1);
  const secret = slash < 0 ? input.secretsByName.get(name) : tableGet(input.secrets, plain);
  if (secret === undefined) return `there is no Secret ${plain}`;
  const { data } = secret.spec as SecretBody;
  const complete = ('tls.crt' in data && 'tls.key' in data) || ('cert' in data && 'key' in data);
  return complete ? undefined : `Secret ${secret.namespace}/${name} has no certificate with its key`;
}

/** Of the objects of a namespace that select no workload only the oldest counts. */
function losers<S extends object>(
  objects: NamespacedIndex<ConfigObject<S>>,
  code: FindingCode,
  message: string,
): readonly Finding[] {
  const found: Finding[] = [];
  for (const list of tableValues(objects.byNamespace)) {
    const wide = list.filter((each) => isWide(each.spec as Selecting));
    for (const object of wide.slice(1)) found.push(on(object, code, 'spec', `${message}: ${wide[0]?.name}`));
  }
  return found;
}
