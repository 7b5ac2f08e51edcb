// Cipher suites by the names that Envoy takes: it refuses a whole listener or cluster for one that it does not know.
// Called by validation, which warns, and by translate/, which leaves out.

/** Names of Envoy's BoringSSL. */
const CIPHERS: ReadonlySet<string> = new Set([
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-PSK-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-SHA',
  'ECDHE-RSA-AES128-SHA',
  'ECDHE-ECDSA-AES256-SHA',
  'ECDHE-RSA-AES256-SHA',
  'ECDHE-PSK-AES128-CBC-SHA',
  'ECDHE-PSK-AES256-CBC-SHA',
  'AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-SHA',
  'AES256-SHA',
  'PSK-AES128-CBC-SHA',
  'PSK-AES256-CBC-SHA',
  'DES-CBC3-SHA',
]);

/** A suite, `ALL`, or one of BoringSSL's expressions: `[A|B]`, `-A`, `!A`. */
export function isCipher(name: string): boolean {
  return CIPHERS.has(name) || name === 'ALL' || /^[^\p{L}\p{N}]/u.test(name);
}

/** Those that Envoy takes, each once; undefined where there are none. */
export function usableCiphers(names: readonly string[] = []): readonly string[] | undefined {
  const usable = [...new Set(names)].filter(isCipher);
  return usable.length === 0 ? undefined : usable;
}
