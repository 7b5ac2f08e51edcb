// DestinationRules indexed by namespace and host, and the look-up of the one that a client uses for a service:
// the client's namespace, then the service's, then the root namespace; in each the most specific host.

import type { Service } from '../ir/service.ts';
import type { DestinationRule } from '../ir/traffic.ts';
import { compareSpecificity, hostSubsetOf, isWildcard } from '../lib/hosts.ts';
import { compareStrings, orderBy, sortedEntries } from '../lib/order.ts';
import { type Derived, deriveTable, emptyTable, keepList, type Table, tableGet } from '../lib/table.ts';
import { type Change, changesBetween, regroup } from '../registry/groups.ts';
import type { NamespacedIndex } from './by-namespace.ts';
import { type RuleObject, ruleHost, ruleNode, ruleVisibility } from './rule-merge.ts';
import { type Labels, selects } from './selection.ts';
import type { LinkSettings } from './settings.ts';

/** Rules by host; several of one host differ in audience or selector, selectors first. */
interface RuleHosts {
  readonly exact: ReadonlyMap<string, readonly DestinationRule[]>;
  /** Most specific first. */
  readonly wildcards: readonly (readonly [host: string, rules: readonly DestinationRule[]])[];
}

export interface NamespaceRules {
  readonly namespace: string;
  readonly rules: readonly DestinationRule[];
  /** For clients of the namespace. */
  readonly local: RuleHosts;
  /** For clients of the root namespace where this is it: private ones only. */
  readonly privateOnly: RuleHosts;
  /** For clients elsewhere. */
  readonly exported: RuleHosts;
}

export interface DestinationRuleIndex {
  readonly byNamespace: Derived<readonly RuleObject[], NamespaceRules>;
  /** By client namespace: namespaces with a rule exported to it by name. */
  readonly exportedTo: Table<readonly NamespaceRules[]>;
  /** Every rule by its host as written: what the choice for a service of that name depends on. */
  readonly byHost: Table<readonly DestinationRule[]>;
  /** Every rule with a wildcard host: what all choices depend on. */
  readonly wildcards: readonly DestinationRule[];
  readonly rootNamespace: string;
}

export interface RuleClient {
  readonly namespace: string;
  readonly labels: Labels;
}

export function indexDestinationRules(
  previous: DestinationRuleIndex | undefined,
  objects: NamespacedIndex<RuleObject>,
  settings: LinkSettings,
): DestinationRuleIndex {
  const byNamespace = deriveTable(previous?.byNamespace, objects.byNamespace, [settings], (list, namespace, before) =>
    namespaceRules(namespace, list, settings, before),
  );
  if (previous !== undefined && byNamespace.output === previous.byNamespace.output) {
    if (previous.rootNamespace === settings.rootNamespace) {
      return byNamespace === previous.byNamespace ? previous : { ...previous, byNamespace };
    }
  }
  const changes = changesBetween(previous?.byNamespace.output, byNamespace.output);
  const { index } = regroup(
    previous?.exportedTo ?? emptyTable<readonly NamespaceRules[]>(),
    changes,
    namedAudience,
    (a, b) => compareStrings(a.namespace, b.namespace),
  );
  const byHost = regroup(
    previous?.byHost ?? emptyTable<readonly DestinationRule[]>(),
    changes.flatMap(ruleChanges),
    (rule) => (isWildcard(rule.host) ? [rule.host, ANY_WILDCARD] : [rule.host]),
    compareRules,
  ).index;
  const wildcards = tableGet(byHost, ANY_WILDCARD) ?? NO_RULES;
  return { byNamespace, exportedTo: index, byHost, wildcards, rootNamespace: settings.rootNamespace };
}

/** No host has this name. */
const ANY_WILDCARD = '/';
const NO_RULES: readonly DestinationRule[] = [];

function ruleChanges([, before, after]: Change<NamespaceRules>): readonly Change<DestinationRule>[] {
  const old = new Set(before?.rules);
  const now = new Set(after?.rules);
  return [
    ...[...old].filter((rule) => !now.has(rule)).map((rule): Change<DestinationRule> => [rule.host, rule, undefined]),
    ...[...now].filter((rule) => !old.has(rule)).map((rule): Change<DestinationRule> => [rule.host, undefined, rule]),
  ];
}

const compareRules = orderBy<DestinationRule>(
  (a, b) => compareStrings(a.host, b.host),
  (a, b) => compareStrings(a.namespace, b.namespace),
  (a, b) => compareStrings(a.objects[0]?.name ?? '', b.objects[0]?.name ?? ''),
);

function namedAudience(rules: NamespaceRules): ReadonlySet<string> {
  const names = new Set<string>();
  for (const rule of rules.rules)
    if (rule.exportTo !== '*') for (const name of rule.exportTo) if (name !== rule.namespace) names.add(name);
  return names;
}

function namespaceRules(
  namespace: string,
  objects: readonly RuleObject[],
  settings: LinkSettings,
  before: NamespaceRules | undefined,
): NamespaceRules {
  const rules = groups(objects, settings).map((group) => ruleNode(settings, group));
  const kept = keepList(before?.rules, rules);
  if (before !== undefined && kept === before.rules) return before;
  return {
    namespace,
    rules: kept,
    local: byHost(kept.filter((rule) => isVisible(rule, namespace) || hasNoExportTo(rule))),
    privateOnly: byHost(kept.filter(isPrivate)),
    exported: byHost(kept.filter((rule) => !isPrivate(rule))),
  };
}

/** Objects that merge into one rule: same host, same audience, same selector. Those with a selector come first. */
function groups(objects: readonly RuleObject[], settings: LinkSettings): readonly (readonly RuleObject[])[] {
  const byKey = new Map<string, RuleObject[]>();
  const ordered = [
    ...objects.filter((object) => object.spec.workloadSelector !== undefined),
    ...objects.filter((object) => object.spec.workloadSelector === undefined),
  ];
  for (const object of ordered) {
    const visibility = ruleVisibility(object, settings);
    const audience = visibility === '*' ? '*' : [...visibility].join(',');
    const { workloadSelector } = object.spec;
    const selector = workloadSelector === undefined ? '' : JSON.stringify(sortedEntries(workloadSelector.matchLabels));
    const key = `${ruleHost(object, settings)} ${audience} ${selector}`;
    const group = byKey.get(key);
    if (group === undefined) byKey.set(key, [object]);
    else group.push(object);
  }
  return [...byKey.values()];
}

function isVisible(rule: DestinationRule, namespace: string): boolean {
  return rule.exportTo === '*' || rule.exportTo.has(namespace);
}

/** Without an exportTo of its own a rule applies in its namespace whatever the mesh's default says. */
function hasNoExportTo(rule: DestinationRule): boolean {
  return (rule.objects[0]?.spec.exportTo?.length ?? 0) === 0;
}

function isPrivate(rule: DestinationRule): boolean {
  return rule.exportTo !== '*' && rule.exportTo.size === 1 && rule.exportTo.has(rule.namespace);
}

function byHost(rules: readonly DestinationRule[]): RuleHosts {
  const exact = new Map<string, DestinationRule[]>();
  for (const rule of rules) {
    const list = exact.get(rule.host);
    if (list === undefined) exact.set(rule.host, [rule]);
    else list.push(rule);
  }
  const wildcards = [...exact].filter(([host]) => isWildcard(host)).sort((a, b) => compareSpecificity(a[0], b[0]));
  return { exact, wildcards };
}

/** The rule that the client uses for the service; undefined when none applies. */
export function ruleFor(
  index: DestinationRuleIndex,
  client: RuleClient,
  service: Service,
): DestinationRule | undefined {
  const table = index.byNamespace.output;
  const own = tableGet(table, client.namespace);
  const local = client.namespace === index.rootNamespace ? own?.privateOnly : own?.local;
  return (
    find(local, service.hostname, client, chooseLocal) ??
    find(tableGet(table, service.namespace)?.exported, service.hostname, client, chooseExported) ??
    find(tableGet(table, index.rootNamespace)?.exported, service.hostname, client, chooseExported)
  );
}

/** A client that no namespace has private rules for: what most clients use. */
export const ANYONE: RuleClient = { namespace: '', labels: {} };

type Accepts = (rules: readonly DestinationRule[], client: RuleClient) => DestinationRule | undefined;

function find(
  hosts: RuleHosts | undefined,
  hostname: string,
  client: RuleClient,
  choose: Accepts,
): DestinationRule | undefined {
  if (hosts === undefined || hosts.exact.size === 0) return undefined;
  const exact = hosts.exact.get(hostname);
  const found = exact === undefined ? undefined : choose(exact, client);
  if (found !== undefined) return found;
  for (const [host, rules] of hosts.wildcards) {
    if (!hostSubsetOf(hostname, host)) continue;
    const wildcard = choose(rules, client);
    if (wildcard !== undefined) return wildcard;
  }
  return undefined;
}

/** For clients of the rules' namespace: one whose selector takes the client, else the last one without selector. */
function chooseLocal(rules: readonly DestinationRule[], client: RuleClient): DestinationRule | undefined {
  const selecting = rules.find((rule) => hasSelector(rule) && selects(rule.workloadSelector, client.labels));
  return selecting ?? rules.findLast((rule) => !hasSelector(rule));
}

function chooseExported(rules: readonly DestinationRule[], client: RuleClient): DestinationRule | undefined {
  return rules.findLast((rule) => !hasSelector(rule) && isVisible(rule, client.namespace));
}

function hasSelector(rule: DestinationRule): boolean {
  return rule.objects[0]?.spec.workloadSelector !== undefined;
}

/** Hosts, wildcards included, for which clients of the namespace may use another rule than clients elsewhere. */
export function ownHosts(index: DestinationRuleIndex, namespace: string): readonly string[] {
  const own = tableGet(index.byNamespace.output, namespace);
  const hosts = new Set<string>();
  if (own !== undefined) {
    const local = namespace === index.rootNamespace ? own.privateOnly : own.local;
    for (const host of local.exact.keys()) hosts.add(host);
  }
  for (const rules of tableGet(index.exportedTo, namespace) ?? [])
    for (const rule of rules.rules) if (rule.exportTo !== '*' && rule.exportTo.has(namespace)) hosts.add(rule.host);
  return [...hosts];
}
