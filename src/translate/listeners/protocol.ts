// Protocols as Sidecar listeners spell them.

import type { Protocol } from '../../ir/service.ts';

const PROTOCOLS: ReadonlyMap<string, Protocol> = new Map(
  (
    [
      'UDP',
      'HTTP',
      'HTTP2',
      'HTTP_PROXY',
      'GRPC',
      'GRPC-Web',
      'TCP',
      'HTTPS',
      'TLS',
      'Mongo',
      'Redis',
      'MySQL',
    ] as const
  ).map((protocol) => [protocol.toLowerCase(), protocol]),
);

/** What isn't known is sniffed. */
export function protocolNamed(text: string): Protocol {
  return PROTOCOLS.get(text.toLowerCase()) ?? 'AUTO';
}

/** The protocol inside terminated TLS. */
export function afterTls(protocol: Protocol): Protocol {
  if (protocol === 'HTTPS') return 'HTTP';
  return protocol === 'TLS' ? 'TCP' : protocol;
}
