// A preview as people read it: for each proxy the resources that would come, go or change, and in which fields.
// In: the plane's preview. Out: JSON for `/debug/preview` and for `meltemi diff`. Secret values never get here.

import { decodeJson, typeNameOf } from '../codec/index.ts';
import type { Finding } from '../config/object.ts';
import { TYPE_URL } from '../ir/draft.ts';
import { type FieldChange, fieldChanges } from '../lib/json-diff.ts';
import { compareStrings, orderBy } from '../lib/order.ts';
import type { Steps } from '../lib/steps.ts';
import type { Preview, ResourceChange } from '../plane/preview.ts';
import type { Resource } from '../resources/resource.ts';
import { showable } from './config-dump.ts';

export interface PreviewReport {
  /** Proxies that were looked at. */
  readonly considered: number;
  /** Of the objects themselves; an error means that the object would be refused, and is not in the preview. */
  readonly findings: readonly Finding[];
  /** Between objects and for proxies: those that would be new, and those that would be gone. */
  readonly appearing: readonly Finding[];
  readonly settled: readonly Finding[];
  /** Proxies that change, in order of name; those of equal changes share them. */
  readonly groups: readonly PreviewGroup[];
}

export interface PreviewGroup {
  /** `POD.NAMESPACE`, sorted. */
  readonly proxies: readonly string[];
  readonly changes: readonly DescribedChange[];
}

export interface DescribedChange {
  readonly type: string;
  readonly name: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** Of a changed resource. */
  readonly fields: readonly FieldChange[];
}

const TYPE_NAMES: ReadonlyMap<string, string> = new Map(
  Object.entries(TYPE_URL).map(([name, typeUrl]) => [typeUrl, name]),
);

/** In steps: decoding thousands of resources is long work. */
export function* previewReport(preview: Preview, findings: readonly Finding[]): Steps<PreviewReport> {
  const described = new Map<string, DescribedChange>();
  const groups = new Map<string, { readonly proxies: Set<string>; readonly changes: readonly DescribedChange[] }>();
  for (const { session, changes } of preview.proxies) {
    const list: DescribedChange[] = [];
    const keys: string[] = [];
    for (const change of changes) {
      const key = changeKey(change);
      keys.push(key);
      let known = described.get(key);
      if (known === undefined) {
        known = describe(change);
        described.set(key, known);
        yield;
      }
      list.push(known);
    }
    const key = keys.sort(compareStrings).join('\n');
    const group = groups.get(key);
    if (group === undefined)
      groups.set(key, { proxies: new Set([session.proxy.instance]), changes: list.sort(byResource) });
    else group.proxies.add(session.proxy.instance);
  }
  return {
    considered: preview.considered,
    findings,
    appearing: preview.appearing,
    settled: preview.settled,
    groups: [...groups.values()]
      .map((group) => ({ proxies: [...group.proxies].sort(compareStrings), changes: group.changes }))
      .sort((a, b) => compareStrings(a.proxies[0] ?? '', b.proxies[0] ?? '')),
  };
}

const byResource = orderBy<DescribedChange>(
  (a, b) => compareStrings(a.type, b.type),
  (a, b) => compareStrings(a.name, b.name),
);

/** Versions are content hashes: the same step from one to another is the same for all proxies. */
function changeKey({ typeUrl, name, before, after }: ResourceChange): string {
  return `${typeUrl} ${name} ${before?.version ?? ''} ${after?.version ?? ''}`;
}

function describe({ typeUrl, name, before, after }: ResourceChange): DescribedChange {
  const about = { type: TYPE_NAMES.get(typeUrl) ?? typeUrl, name };
  if (before === undefined) return { ...about, change: 'added', fields: [] };
  if (after === undefined) return { ...about, change: 'removed', fields: [] };
  return { ...about, change: 'changed', fields: fieldChanges(jsonOf(before), jsonOf(after)) };
}

function jsonOf(resource: Resource): unknown {
  return decodeJson(typeNameOf(resource.typeUrl), showable(resource));
}
