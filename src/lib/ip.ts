// IP addresses and prefixes as text and as numbers, without any platform module.
// In: what users and registries write. Out: family, membership in a prefix, canonical text.

export type IpVersion = 4 | 6;

/** The family of a literal IP address; undefined for anything else (host names, prefixes, zones). */
export function ipVersion(text: string): IpVersion | undefined {
  if (text.includes(':')) return parseV6(text) === undefined ? undefined : 6;
  return parseV4(text) === undefined ? undefined : 4;
}

export function isIp(text: string): boolean {
  return ipVersion(text) !== undefined;
}

/** An address as one number of 32 or 128 bits. */
export interface IpValue {
  readonly version: IpVersion;
  readonly value: bigint;
}

export function parseIp(text: string): IpValue | undefined {
  if (text.includes(':')) {
    const groups = parseV6(text);
    if (groups === undefined) return undefined;
    return { version: 6, value: groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n) };
  }
  const v4 = parseV4(text);
  return v4 === undefined ? undefined : { version: 4, value: BigInt(v4) };
}

export interface Cidr {
  readonly version: IpVersion;
  /** With the host bits cleared. */
  readonly network: bigint;
  readonly bits: number;
}

/** `10.0.0.0/8`, or a single address as a prefix of full length. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (ip === undefined) return undefined;
  const full = ip.version === 4 ? 32 : 128;
  const length = slash < 0 ? String(full) : text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(length) || Number(length) > full) return undefined;
  const bits = Number(length);
  const hostBits = BigInt(full - bits);
  return { version: ip.version, network: (ip.value >> hostBits) << hostBits, bits };
}

export function cidrContains(cidr: Cidr, ip: IpValue): boolean {
  if (cidr.version !== ip.version) return false;
  const hostBits = BigInt((cidr.version === 4 ? 32 : 128) - cidr.bits);
  return ip.value >> hostBits === cidr.network >> hostBits;
}

/** Four decimal numbers in dots, read digit by digit: most of what is asked about is a host name, and ends at its first letter. */
function parseV4(text: string): number | undefined {
  let value = 0;
  let part = -1;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (part < 0 || ++dots > 3) return undefined;
      value = value * 256 + part;
      part = -1;
      continue;
    }
    // Leading zeros are refused: some parsers read them as octal.
    if (code < ZERO || code > ZERO + 9 || part === 0) return undefined;
    part = part < 0 ? code - ZERO : part * 10 + code - ZERO;
    if (part > 255) return undefined;
  }
  return dots === 3 && part >= 0 ? value * 256 + part : undefined;
}

const DOT = 46;
const ZERO = 48;

function parseV6(text: string): readonly number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1] ?? '', true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1) return missing === 0 ? head : undefined;
  return missing >= 1 ? [...head, ...Array.from({ length: missing }, () => 0), ...tail] : undefined;
}

/** Groups of 16 bits; the last may be an IPv4 address in dots (RFC 4291, 2.2). */
function groupsOf(text: string, allowV4: boolean): readonly number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const groups: number[] = [];
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else {
      const v4 = allowV4 && index === parts.length - 1 && part.includes('.') ? parseV4(part) : undefined;
      if (v4 === undefined) return undefined;
      groups.push(Math.floor(v4 / 65536), v4 % 65536);
    }
  }
  return groups;
}
