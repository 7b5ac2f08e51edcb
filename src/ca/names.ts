// Subject alternative names and the few distinguished names used here, in DER and as text.
// Called by csr-request and certificate to write, by csr, signer and authenticators to read.

import { isIP } from 'node:net';
import {
  boolean,
  bytesOf,
  type Der,
  isKind,
  isTagged,
  isText,
  itemsOf,
  objectId,
  objectIdOf,
  octets,
  readDer,
  sequence,
  set,
  tagged,
  utf8,
  writeDer,
} from './der.ts';

export const OID = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  subjectKeyId: '2.5.29.14',
  authorityKeyId: '2.5.29.35',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  extensionRequest: '1.2.840.113549.1.9.14',
} as const;

/** RFC 5280 4.2.1.6: the kinds of names that a workload's or a server's certificate can carry. */
export type AltName =
  | { readonly kind: 'uri'; readonly value: string }
  | { readonly kind: 'dns'; readonly value: string }
  | { readonly kind: 'ip'; readonly value: string }
  | { readonly kind: 'other'; readonly value: string };

const TAG = { email: 1, dns: 2, uri: 6, ip: 7 } as const;

/** What kind of name an identity is: a SPIFFE URI, an address, else a DNS name. */
export function altNameOf(identity: string): AltName {
  if (identity.startsWith('spiffe://')) return { kind: 'uri', value: identity };
  return { kind: isIP(identity) === 0 ? 'dns' : 'ip', value: identity };
}

/** The GeneralNames value; addresses as 4 or 16 bytes. */
export function generalNames(names: readonly AltName[]): Der {
  return sequence(...names.map(generalName));
}

function generalName(name: AltName): Der {
  switch (name.kind) {
    case 'uri':
      return tagged(TAG.uri, Buffer.from(name.value, 'latin1'));
    case 'dns':
      return tagged(TAG.dns, Buffer.from(name.value, 'latin1'));
    case 'ip':
      return tagged(TAG.ip, addressBytes(name.value));
    case 'other':
      throw new Error(`a name of an unsupported kind cannot be written: ${name.value}`);
  }
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail] = address.split('::');
  const left = groupsOf(head);
  const right = groupsOf(tail ?? '');
  const gap = tail === undefined ? [] : Array.from({ length: 8 - left.length - right.length }, () => 0);
  return Buffer.from([...left, ...gap, ...right].flatMap((group) => [group >> 8, group & 0xff]));
}

function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((part) => {
    if (!part.includes('.')) return [Number.parseInt(part, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}

/** Reads a GeneralNames value; what is neither URI, DNS name nor address comes out as `other`. */
export function readGeneralNames(der: Uint8Array): AltName[] {
  return itemsOf(readDer(der), 'GeneralNames').map((item): AltName => {
    if (isTagged(item, TAG.uri)) return { kind: 'uri', value: bytesOf(item, 'URI').toString('latin1') };
    if (isTagged(item, TAG.dns)) return { kind: 'dns', value: bytesOf(item, 'DNS name').toString('latin1') };
    if (isTagged(item, TAG.ip)) return { kind: 'ip', value: addressText(bytesOf(item, 'IP address')) };
    const what = isTagged(item, TAG.email) ? 'email' : `name of type ${item.type}`;
    return { kind: 'other', value: what };
  });
}

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join('.');
  if (bytes.length !== 16) throw new Error('IP address is neither 4 nor 16 bytes');
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16));
  return groups.join(':');
}

/** Two spellings of one address compare equal, other names by their text. */
export function sameName(a: AltName, b: AltName): boolean {
  if (a.kind !== b.kind || a.kind === 'other') return false;
  if (a.kind === 'ip') return addressBytes(a.value).equals(addressBytes(b.value));
  return a.kind === 'dns' ? a.value.toLowerCase() === b.value.toLowerCase() : a.value === b.value;
}

/** A distinguished name of single-valued attributes; no attributes make the empty name. */
export function distinguishedName(attributes: readonly (readonly [oid: string, value: string])[]): Der {
  return sequence(...attributes.map(([oid, value]) => set(sequence(objectId(oid), utf8(value)))));
}

/** The first common name in a distinguished name, if any. */
export function commonNameOf(name: Der): string | undefined {
  for (const relative of itemsOf(name, 'name')) {
    for (const attribute of itemsOf(relative, 'relative name', 'set')) {
      const [type, value] = itemsOf(attribute, 'name attribute');
      if (value === undefined || objectIdOf(type, 'attribute type') !== OID.commonName) continue;
      if (isText(value)) return bytesOf(value, 'common name').toString('utf8');
    }
  }
  return undefined;
}

/** One X.509 extension; its value is DER inside an OCTET STRING. */
export function extension(oid: string, critical: boolean, value: Der): Der {
  const flag = critical ? [boolean(true)] : [];
  return sequence(objectId(oid), ...flag, octets(writeDer(value)));
}

/** The extensions of an Extensions value by object id. */
export function readExtensions(list: Der): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const item of itemsOf(list, 'extensions')) {
    const parts = itemsOf(item, 'extension');
    const value = parts[parts.length - 1];
    const oid = objectIdOf(parts[0], 'extension id');
    if (value === undefined || !isKind(value, 'octets')) throw new Error(`extension ${oid} has no value`);
    if (found.has(oid)) throw new Error(`extension ${oid} appears twice`);
    found.set(oid, bytesOf(value, 'extension value'));
  }
  return found;
}
