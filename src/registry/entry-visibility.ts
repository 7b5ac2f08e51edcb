// MeshConfig.serviceEntryVisibility: how far ServiceEntries of a namespace can be exported at most.

import type { MeshConfig } from '../config/mesh.ts';
import type { Visibility } from '../ir/service.ts';
import { type Labels, selectsLabels } from '../lib/label-selector.ts';

export type EntryVisibility = MeshConfig['serviceEntryVisibility'];

const NOBODY: ReadonlySet<string> = new Set();

/**
 * What is left of `declared` for an entry of a namespace with these labels: the first policy counts all of whose rules
 * fit, else the default. Without `applyToSidecars` it is for ambient mode alone.
 */
export function cappedVisibility(
  declared: Visibility,
  namespace: string,
  labels: Labels,
  limits: EntryVisibility,
): Visibility {
  if (limits?.applyToSidecars !== true) return declared;
  const policy = (limits.policies ?? []).find(({ matchingRules = [] }) =>
    matchingRules.every(
      ({ namespaceSelector }) => namespaceSelector !== undefined && selectsLabels(namespaceSelector, labels),
    ),
  );
  switch (policy === undefined ? limits.defaultVisibility : policy.visibility) {
    case 'NONE':
      return NOBODY;
    case 'NAMESPACE':
      return declared === '*' || declared.has(namespace) ? new Set([namespace]) : NOBODY;
    case 'PUBLIC':
    case 'VISIBILITY_UNSPECIFIED':
    case undefined:
      return declared;
  }
}
