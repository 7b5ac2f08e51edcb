// The node metadata that tells the control plane what this proxy is.
// In: environment, downward files, identity; out: a JSON object. Called by config.ts.

import type { ProxyIdentity } from './config.ts';
import type { AgentInputs } from './inputs.ts';

export interface MetadataInputs {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly inputs: AgentInputs;
  readonly identity: ProxyIdentity;
  readonly remarks: string[];
}

const PLAIN = 'ISTIO_META_';
const JSON_PREFIX = 'ISTIO_METAJSON_';

/** `ISTIO_META_X` gives key X, `ISTIO_METAJSON_X` gives key X with a JSON value; pod facts come on top. */
export function metadataFrom({ env, inputs, identity, remarks }: MetadataInputs): Record<string, unknown> {
  const metadata: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined) continue;
    if (name.startsWith(PLAIN)) metadata[name.slice(PLAIN.length)] = value;
    if (name.startsWith(JSON_PREFIX)) {
      const key = name.slice(JSON_PREFIX.length);
      try {
        metadata[key] = JSON.parse(value);
      } catch {
        remarks.push(`${name} is not JSON and is ignored`);
      }
    }
  }
  const { labels, annotations, proxyConfig } = inputs;
  return {
    ...metadata,
    NAME: identity.pod,
    NAMESPACE: identity.namespace,
    SERVICE_ACCOUNT: identity.serviceAccount,
    CLUSTER_ID: identity.clusterId,
    INSTANCE_IPS: identity.ips.join(','),
    ...(Object.keys(labels).length > 0 ? { LABELS: labels } : {}),
    ...(Object.keys(annotations).length > 0 ? { ANNOTATIONS: annotations } : {}),
    PROXY_CONFIG: proxyConfig,
  };
}
