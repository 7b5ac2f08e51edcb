/** Audience of tokens for the control plane, unless told otherwise; Kubernetes projects tokens with it into pods. */
export const DEFAULT_AUDIENCE = 'istio-ca';

/** A workload's name in the mesh, as carried by the URI SAN of its certificate. */
export interface WorkloadIdentity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

const SCHEME = 'spiffe://';

/** `spiffe://TRUSTDOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT`; an "@" in the trust domain is not allowed in a URI host and becomes ".". */
export function formatIdentity(identity: WorkloadIdentity): string {
  const domain = identity.trustDomain.replaceAll('@', '.');
  return `${SCHEME}${domain}/ns/${identity.namespace}/sa/${identity.serviceAccount}`;
}

/** Reads exactly the form that `formatIdentity` writes; anything else is no workload identity. */
export function parseIdentity(uri: string): WorkloadIdentity | undefined {
  if (!uri.startsWith(SCHEME)) return undefined;
  const parts = uri.slice(SCHEME.length).split('/');
  const [trustDomain, ns, namespace, sa, serviceAccount] = parts;
  if (parts.length !== 5 || ns !== 'ns' || sa !== 'sa') return undefined;
  if (!trustDomain || !namespace || !serviceAccount) return undefined;
  return { trustDomain, namespace, serviceAccount };
}

const SUBJECT_PREFIX = 'system:serviceaccount:';

/** Reads a Kubernetes service account subject, `system:serviceaccount:NAMESPACE:NAME`. */
export function parseServiceAccountSubject(
  subject: string,
): { readonly namespace: string; readonly serviceAccount: string } | undefined {
  if (!subject.startsWith(SUBJECT_PREFIX)) return undefined;
  const parts = subject.slice(SUBJECT_PREFIX.length).split(':');
  const [namespace, serviceAccount] = parts;
  if (parts.length !== 2 || !namespace || !serviceAccount) return undefined;
  // A slash would let a token forge further path parts of a SPIFFE id.
  if (namespace.includes('/') || serviceAccount.includes('/')) return undefined;
  return { namespace, serviceAccount };
}

/** The subject claim of a service account's token. */
export function formatServiceAccountSubject(namespace: string, serviceAccount: string): string {
  return `${SUBJECT_PREFIX}${namespace}:${serviceAccount}`;
}
