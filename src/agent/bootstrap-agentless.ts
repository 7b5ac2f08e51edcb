// How an Envoy alone, without an agent, reaches the control plane: over TLS by its Google gRPC client, with the token of a
// file read at each call. In: AgentConfig; out: the ADS service and what takes the place of the agent. Called by bootstrap.ts.

import type { AgentConfig, RootSource } from './config.ts';

type Json = Readonly<Record<string, unknown>>;

const CREDENTIALS = 'envoy.grpc_credentials.file_based_metadata';
/** Where the image, as most distributions, has the operating system's roots. */
const SYSTEM_ROOTS = '/etc/ssl/certs/ca-certificates.crt';

/** What tells the control plane that secrets have to come over ADS. */
export const AGENTLESS_METADATA = { MELTEMI_AGENTLESS: 'true' } as const;

/** Throws where no identity could be proven: without one there would be no certificate. */
export function agentlessService(config: AgentConfig): Json {
  const { discovery, clusterId, xdsHeaders } = config;
  if (discovery.security !== 'tls') throw new Error('a proxy without an agent needs TLS to the control plane');
  const headers = Object.entries({ clusterid: clusterId, ...xdsHeaders });
  return {
    googleGrpc: {
      targetUri: discovery.address,
      statPrefix: 'xds-grpc',
      channelCredentials: { sslCredentials: { rootCerts: { filename: rootsFile(discovery.roots) } } },
      callCredentials: [
        {
          fromPlugin: {
            name: CREDENTIALS,
            typedConfig: {
              '@type': 'type.googleapis.com/envoy.config.grpc_credential.v3.FileBasedMetadataConfig',
              secretData: { filename: absolute(config.tokenFile) },
              headerKey: 'authorization',
              headerPrefix: 'Bearer ',
            },
          },
        },
      ],
      credentialsFactoryName: CREDENTIALS,
      channelArgs: {
        args: {
          'grpc.ssl_target_name_override': { stringValue: discovery.serverName },
          'grpc.default_authority': { stringValue: discovery.serverName },
          // A control plane that vanished without a word is noticed within 40 s.
          'grpc.keepalive_time_ms': { intValue: '30000' },
          'grpc.keepalive_timeout_ms': { intValue: '10000' },
          'grpc.keepalive_permit_without_calls': { intValue: '1' },
          'grpc.http2.max_pings_without_data': { intValue: '0' },
          'grpc.max_receive_message_length': { intValue: '-1' },
        },
      },
    },
    initialMetadata: headers.map(([key, value]) => ({ key, value })),
  };
}

function rootsFile(roots: RootSource): string {
  return roots.kind === 'system' ? SYSTEM_ROOTS : absolute(roots.path);
}

/** Defaults are relative, for an agent whose folder is the root; an Envoy may be started anywhere. */
function absolute(path: string): string {
  return path.startsWith('./') ? path.slice(1) : path;
}

/** Envoy's own readiness in place of the agent's. */
export const ADMIN_READY = { prefixRewrite: '/ready' } as const;
