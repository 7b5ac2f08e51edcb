// IP addresses, prefixes and host names as the APIs accept them.

/** Dotted IPv4 without leading zeros, as Go's net package reads it. */
export function isIpv4(text: string): boolean {
  const parts = text.split('.');
  return parts.length === 4 && parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

/** RFC 4291 text form, with an embedded IPv4 tail allowed; zones are not. */
export function isIpv6(text: string): boolean {
  if (!text.includes(':') || /[^0-9a-fA-F:.]/.test(text)) return false;
  const halves = text.split('::');
  if (halves.length > 2) return false;
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')));
  const all = groups.flat();
  const last = all.at(-1) ?? '';
  const hasV4 = last.includes('.');
  if (hasV4 && (!isIpv4(last) || text.endsWith(':'))) return false;
  if (!all.slice(0, hasV4 ? -1 : undefined).every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return false;
  const count = all.length + (hasV4 ? 1 : 0);
  return halves.length === 2 ? count <= 7 : count === 8;
}

export function isIp(text: string): boolean {
  return isIpv4(text) || isIpv6(text);
}

/** An address with a prefix length. */
export function isCidr(text: string): boolean {
  const slash = text.indexOf('/');
  if (slash < 0) return false;
  const address = text.slice(0, slash);
  const length = text.slice(slash + 1);
  if (!/^(?:0|[1-9]\d{0,2})$/.test(length)) return false;
  return (isIpv4(address) && Number(length) <= 32) || (isIpv6(address) && Number(length) <= 128);
}

export function isIpOrCidr(text: string): boolean {
  return isIp(text) || isCidr(text);
}

const DNS_LABEL = /^[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$/;

/** A host name without wildcard; its last label is no number, which tells names from addresses. A trailing dot is allowed. */
export function isFqdn(text: string): boolean {
  const name = text.endsWith('.') ? text.slice(0, -1) : text;
  if (name === '' || name.length > 255) return false;
  const labels = name.split('.');
  return labels.every((label) => DNS_LABEL.test(label)) && !/^\d+$/.test(labels.at(-1) ?? '');
}

/** A host name whose leftmost label, and no other, may be `*`. */
export function isWildcardFqdn(text: string): boolean {
  if (text === '*') return true;
  if (text.startsWith('*.')) return isFqdn(text.slice(2));
  // `*-suffix.example.com`: the wildcard may be the beginning of the label.
  if (text.startsWith('*')) return isFqdn(`x${text.slice(1)}`);
  return isFqdn(text);
}

const RFC1123_LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

export function isDnsLabel(text: string): boolean {
  return RFC1123_LABEL.test(text);
}

/** RFC 9110 token. */
export function isHttpToken(text: string): boolean {
  return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(text);
}
