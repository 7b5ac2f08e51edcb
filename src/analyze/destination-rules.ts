// DestinationRules: subsets that no workload belongs to.

import type { DestinationRuleSpec } from '../config/generated/types.ts';
import type { Finding } from '../config/object.ts';
import { resolveShortName } from '../lib/hosts.ts';
import { tableGet } from '../lib/table.ts';
import { type Analysis, on } from './analysis.ts';

export function* emptySubsets(analysis: Analysis): Iterable<Finding> {
  const { snapshot } = analysis;
  for (const rule of analysis.list<DestinationRuleSpec>('DestinationRule')) {
    const host = resolveShortName(rule.spec.host ?? '', rule.namespace, snapshot.settings.domain);
    const endpoints = (tableGet(snapshot.registry.endpoints, host) ?? []).flatMap((each) => each.endpoints);
    if (endpoints.length === 0) continue;
    for (const [index, subset] of (rule.spec.subsets ?? []).entries()) {
      const wanted = Object.entries(subset.labels ?? {});
      if (wanted.length === 0 || endpoints.some(({ labels }) => wanted.every(([key, value]) => labels[key] === value)))
        continue;
      const text = wanted.map(([key, value]) => `${key}=${value}`).join(',');
      yield on(rule, 'IST0173', `spec.subsets[${index}].labels`, `no endpoint of ${host} has the labels ${text}`);
    }
  }
}
