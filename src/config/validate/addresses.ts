// IP addresses, prefixes and host names as the APIs accept them.

import { ipVersion, isIp, parseCidr } from '../../lib/ip.ts';

export { isIp };

export function isIpv4(text: string): boolean {
  return ipVersion(text) === 4;
}

export function isIpv6(text: string): boolean {
  return ipVersion(text) === 6;
}

/** An address with a prefix length; host bits may be set. */
export function isCidr(text: string): boolean {
  return text.includes('/') && parseCidr(text) !== undefined;
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
