// DER in and out over node-forge's ASN.1: constructors for what certificates are made of, checked readers for what comes in.
// Bytes enter and leave as Buffers; inside, forge keeps them as Latin-1 strings.
// Called by csr, csr-request, certificate and names; nothing here knows what a certificate is.

import type forge from 'node-forge';
import asn1 from 'node-forge/lib/asn1.js';

export type Der = forge.asn1.Asn1;

const { Class, Type } = asn1;

/** Parses canonical DER: a value that would not be written back byte for byte is refused, so slices can be trusted. */
export function readDer(bytes: Uint8Array): Der {
  const text = Buffer.from(bytes).toString('latin1');
  const node = asn1.fromDer(text, { strict: true, parseAllBytes: true, decodeBitStrings: false, maxDepth: 32 });
  if (asn1.toDer(node).getBytes() !== text) throw new Error('not canonical DER');
  return node;
}

/** The DER bytes of a node. */
export function writeDer(node: Der): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), 'latin1');
}

function universal(type: forge.asn1.Type, constructed: boolean, value: string | Der[]): Der {
  return asn1.create(Class.UNIVERSAL, type, constructed, value);
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

export const sequence = (...items: Der[]): Der => universal(Type.SEQUENCE, true, items);
export const set = (...items: Der[]): Der => universal(Type.SET, true, items);
export const objectId = (oid: string): Der => universal(Type.OID, false, asn1.oidToDer(oid).getBytes());
export const integer = (value: number): Der => universal(Type.INTEGER, false, asn1.integerToDer(value).getBytes());
export const integerBytes = (bytes: Uint8Array): Der => universal(Type.INTEGER, false, latin1(bytes));
export const boolean = (value: boolean): Der => universal(Type.BOOLEAN, false, value ? '\xff' : '\x00');
export const nothing = (): Der => universal(Type.NULL, false, '');
export const octets = (bytes: Uint8Array): Der => universal(Type.OCTETSTRING, false, latin1(bytes));
export const utf8 = (text: string): Der => universal(Type.UTF8, false, latin1(Buffer.from(text, 'utf8')));

/** A BIT STRING; `unused` counts the low bits of the last byte that carry nothing. */
export const bits = (bytes: Uint8Array, unused = 0): Der =>
  universal(Type.BITSTRING, false, String.fromCharCode(unused) + latin1(bytes));

/** A context-specific tag around items (constructed) or bytes (primitive). */
export function tagged(tag: number, value: Der[] | Uint8Array): Der {
  const constructed = Array.isArray(value);
  return asn1.create(Class.CONTEXT_SPECIFIC, tag, constructed, constructed ? value : latin1(value));
}

/** RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050. */
export function time(at: number): Der {
  const date = new Date(at);
  if (date.getUTCFullYear() < 2050) return universal(Type.UTCTIME, false, asn1.dateToUtcTime(date));
  return universal(Type.GENERALIZEDTIME, false, asn1.dateToGeneralizedTime(date));
}

export type UniversalKind = 'sequence' | 'set' | 'oid' | 'bits' | 'octets' | 'integer' | 'boolean';

const TYPE_OF: Readonly<Record<UniversalKind, forge.asn1.Type>> = {
  sequence: Type.SEQUENCE,
  set: Type.SET,
  oid: Type.OID,
  bits: Type.BITSTRING,
  octets: Type.OCTETSTRING,
  integer: Type.INTEGER,
  boolean: Type.BOOLEAN,
};

/** Whether a node is of this universal kind. */
export function isKind(node: Der, kind: UniversalKind): boolean {
  return node.tagClass === Class.UNIVERSAL && node.type === TYPE_OF[kind];
}

/** Whether a node carries this context-specific tag. */
export function isTagged(node: Der, tag: number): boolean {
  return node.tagClass === Class.CONTEXT_SPECIFIC && (node.type as number) === tag;
}

/** Whether a node is a directory string: the few text types that names use. */
export function isText(node: Der): boolean {
  const types: readonly number[] = [Type.UTF8, Type.PRINTABLESTRING, Type.IA5STRING];
  return node.tagClass === Class.UNIVERSAL && types.includes(node.type) && typeof node.value === 'string';
}

/** The items of a constructed node: a SEQUENCE unless said otherwise. */
export function itemsOf(node: Der | undefined, what: string, kind: 'sequence' | 'set' | 'tagged' = 'sequence'): Der[] {
  const right =
    node !== undefined && (kind === 'tagged' ? node.tagClass === Class.CONTEXT_SPECIFIC : isKind(node, kind));
  if (!right || !Array.isArray(node.value)) throw new Error(`${what} is not a ${kind} list`);
  return node.value;
}

/** The content bytes of a primitive node. */
export function bytesOf(node: Der | undefined, what: string): Buffer {
  if (node === undefined || typeof node.value !== 'string') throw new Error(`${what} is not a plain value`);
  return Buffer.from(node.value, 'latin1');
}

/** The bytes of a BIT STRING that has no unused bits. */
export function bitsOf(node: Der | undefined, what: string): Buffer {
  const bytes = bytesOf(node, what);
  if (node === undefined || !isKind(node, 'bits') || bytes[0] !== 0)
    throw new Error(`${what} is not a whole bit string`);
  return bytes.subarray(1);
}

/** The dotted form of an OBJECT IDENTIFIER. */
export function objectIdOf(node: Der | undefined, what: string): string {
  if (node === undefined || !isKind(node, 'oid') || typeof node.value !== 'string' || node.value.length === 0) {
    throw new Error(`${what} is not an object identifier`);
  }
  return asn1.derToOid(node.value);
}
