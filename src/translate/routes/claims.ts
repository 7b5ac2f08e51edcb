// Matching on claims of a verified token: `@request.auth.claims.group.id` or `@request.auth.claims[group][id]` in place
// of a header's name.

const PREFIX = '@request.auth.claims';

/** The filter that leaves the claims in dynamic metadata, below `payload`. */
export const JWT_METADATA_FILTER = 'envoy.filters.http.jwt_authn';

/** The path of the claim; undefined for the name of an ordinary header. */
export function routingClaim(name: string): readonly string[] | undefined {
  if (!name.startsWith('@') || !name.toLowerCase().startsWith(PREFIX)) return undefined;
  const rest = name.slice(PREFIX.length);
  if (rest.length < 2) return undefined;
  if (rest.startsWith('.')) return rest.slice(1).split('.');
  if (rest.startsWith('[') && rest.endsWith(']')) return rest.slice(1, -1).split('][');
  return undefined;
}
