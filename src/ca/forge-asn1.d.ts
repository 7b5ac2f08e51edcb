// node-forge ships no types for its parts; only the ASN.1 part is loaded, the whole costs 15 MB of memory.
declare module 'node-forge/lib/asn1.js' {
  import type forge from 'node-forge';

  interface FromDerOptions {
    readonly strict?: boolean;
    readonly parseAllBytes?: boolean;
    readonly decodeBitStrings?: boolean;
    readonly maxDepth?: number;
  }

  const asn1: Omit<typeof forge.asn1, 'fromDer'> & {
    fromDer(bytes: string, options: FromDerOptions): forge.asn1.Asn1;
  };
  export default asn1;
}
