// Whether Envoy can use a set of keys. It refuses a whole listener for a set in which it finds none.

interface Jwk {
  readonly kty?: unknown;
  readonly [member: string]: unknown;
}

/** What a key of each type can't do without (RFC 7518, section 6, and RFC 8037). */
const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'x', 'y'],
  RSA: ['n', 'e'],
  oct: ['k'],
  OKP: ['crv', 'x'],
};

/** The document as Envoy takes it, a key alone as a set of one; undefined if it holds no key. */
export function usableKeys(document: string): string | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(document);
  } catch {
    return undefined;
  }
  if (!isObject(parsed)) return undefined;
  const { keys } = parsed as { readonly keys?: unknown };
  if (keys === undefined) return isKey(parsed) ? JSON.stringify({ keys: [parsed] }) : undefined;
  return Array.isArray(keys) && keys.some((key) => isObject(key) && isKey(key)) ? document : undefined;
}

function isKey(key: Jwk): boolean {
  const members = typeof key.kty === 'string' ? MEMBERS[key.kty] : undefined;
  return members !== undefined && members.every((member) => isText(key[member]));
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
