// How one proves to a registry who one is: challenges, and credentials out of a docker configuration. Pure but for Buffer.
// Nothing of a credential is ever part of an error.

export type Challenge =
  | { readonly kind: 'challenge'; readonly scheme: 'basic' }
  | {
      readonly kind: 'challenge';
      readonly scheme: 'bearer';
      readonly realm: string;
      readonly service: string;
      readonly scope: string;
    };

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** Reads WWW-Authenticate; undefined for schemes that are not known. */
export function challengeOf(header: string): Challenge | undefined {
  const [, scheme = '', rest = ''] = /^\s*(\w+)\s*(.*)$/.exec(header) ?? [];
  if (scheme.toLowerCase() === 'basic') return { kind: 'challenge', scheme: 'basic' };
  if (scheme.toLowerCase() !== 'bearer') return undefined;
  const parameters = new Map([...rest.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]));
  const realm = parameters.get('realm') ?? '';
  if (!URL.canParse(realm)) return undefined;
  return {
    kind: 'challenge',
    scheme: 'bearer',
    realm,
    service: parameters.get('service') ?? '',
    scope: parameters.get('scope') ?? '',
  };
}

export function tokenRequest(
  { realm, service, scope }: Extract<Challenge, { scheme: 'bearer' }>,
  repository: string,
  credentials: Credentials | undefined,
): { readonly url: string; readonly headers: Readonly<Record<string, string>> } {
  const url = new URL(realm);
  if (service !== '') url.searchParams.set('service', service);
  url.searchParams.set('scope', scope === '' ? `repository:${repository}:pull` : scope);
  return { url: url.href, headers: credentials === undefined ? {} : { authorization: authorization(credentials) } };
}

export function authorization({ user, password }: Credentials): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

type Entry = { readonly auth?: unknown; readonly username?: unknown; readonly password?: unknown };

/** The entry of a docker config.json that names most of the repository's path. */
export function credentialsFor(dockerConfig: string, registry: string, repository: string): Credentials | undefined {
  let best: { readonly length: number; readonly credentials: Credentials } | undefined;
  for (const [key, entry] of Object.entries(authsIn(dockerConfig))) {
    const place = key
      .replace(/^https?:\/\//, '')
      .replace(/\/+$/, '')
      .replace(/\/v[12]$/, '');
    const [host = '', ...path] = place.split('/');
    const isHub = registry === 'registry-1.docker.io' && /^(index\.|registry-1\.)?docker\.io$/.test(host);
    const prefix = path.join('/');
    const fits = (host === registry || isHub) && (prefix === '' || `${repository}/`.startsWith(`${prefix}/`));
    const credentials = fits ? credentialsIn(entry) : undefined;
    if (credentials === undefined || (best !== undefined && best.length >= prefix.length)) continue;
    best = { length: prefix.length, credentials };
  }
  return best?.credentials;
}

function authsIn(text: string): Readonly<Record<string, Entry>> {
  try {
    const value = JSON.parse(text) as { readonly auths?: unknown } | null;
    return typeof value?.auths === 'object' && value.auths !== null ? (value.auths as Record<string, Entry>) : {};
  } catch {
    return {};
  }
}

function credentialsIn(entry: Entry): Credentials | undefined {
  const { auth, username, password } = entry;
  if (typeof auth === 'string' && auth !== '') {
    const text = Buffer.from(auth, 'base64').toString('utf8');
    const colon = text.indexOf(':');
    return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) };
  }
  return typeof username === 'string' && typeof password === 'string' ? { user: username, password } : undefined;
}
