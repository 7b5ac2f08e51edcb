// Tags of spans: the user's, those that tell where a span comes from, and the outcome of authorization dry runs.

import type { CustomTag } from '../../config/generated/types.ts';
import type { ProxyClass } from '../../ir/proxy.ts';
import { compareStrings } from '../../lib/order.ts';
import type { Messages } from '../../messages/index.ts';

type Tag = Messages['envoy.type.tracing.v3.CustomTag'];

/** Sorted by tag; a user's tag wins over a built-in one of the same name. */
export function customTags(
  user: Readonly<Record<string, CustomTag>>,
  istioTags: boolean,
  proxyClass: ProxyClass,
): readonly Tag[] {
  const tags = new Map<string, Tag>();
  const own = istioTags ? [...DRY_RUN_TAGS, ...sourceTags(proxyClass)] : [];
  for (const tag of own) tags.set(tag.tag ?? '', tag);
  for (const [name, tag] of Object.entries(user)) {
    const made = userTag(name, tag);
    if (made !== undefined) tags.set(name, made);
  }
  return [...tags.values()].sort((a, b) => compareStrings(a.tag ?? '', b.tag ?? ''));
}

function userTag(tag: string, { literal, environment, header, formatter }: CustomTag): Tag | undefined {
  if (literal !== undefined) return { tag, literal: { value: literal.value } };
  if (environment !== undefined) {
    return { tag, environment: { name: environment.name, defaultValue: environment.defaultValue } };
  }
  if (header !== undefined) return { tag, requestHeader: { name: header.name, defaultValue: header.defaultValue } };
  return formatter === undefined ? undefined : { tag, value: formatter.value };
}

function sourceTags({ namespace, clusterId, settings }: ProxyClass): readonly Tag[] {
  const literal = (tag: string, value: string): Tag => ({ tag, literal: { value } });
  const { canonicalRevision, canonicalService } = settings;
  return [
    literal('istio.canonical_revision', canonicalRevision || 'latest'),
    literal('istio.canonical_service', canonicalService || 'unknown'),
    literal('istio.mesh_id', settings.meshId || 'unknown'),
    literal('istio.namespace', namespace),
    ...(clusterId === '' ? [] : [literal('istio.cluster_id', clusterId)]),
  ];
}

/** What the RBAC filters leave in dynamic metadata for `istio.io/dry-run` policies. */
const DRY_RUN_TAGS: readonly Tag[] = ['allow', 'deny'].flatMap((action) => [
  dryRunTag(`${action}_policy.name`, `istio_dry_run_${action}_shadow_effective_policy_id`),
  dryRunTag(`${action}_policy.result`, `istio_dry_run_${action}_shadow_engine_result`),
]);

function dryRunTag(name: string, key: string): Tag {
  return {
    tag: `istio.authorization.dry_run.${name}`,
    metadata: { kind: { request: {} }, metadataKey: { key: 'envoy.filters.http.rbac', path: [{ key }] } },
  };
}
