// Routes of an inbound chain: everything goes to the application, whatever VirtualServices say.

import type { Protocol } from '../../ir/service.ts';
import type { Messages } from '../../messages/index.ts';
import type { ChainContext } from '../context.ts';
import { serviceOperation } from '../routes/decorator.ts';
import { inboundRetryPolicy } from '../routes/retry.ts';

type RouteConfiguration = Messages['envoy.config.route.v3.RouteConfiguration'];

export interface InboundRouteInputs {
  readonly context: ChainContext;
  readonly cluster: string;
  readonly host: string;
  readonly servicePort: number;
  readonly protocol: Protocol;
}

export function inboundRoutes(inputs: InboundRouteInputs): RouteConfiguration {
  const { context, cluster, host, servicePort, protocol } = inputs;
  // A gRPC client decides over retries itself.
  const retries = protocol === 'GRPC' || protocol === 'GRPC-Web';
  return {
    name: cluster,
    validateClusters: false,
    virtualHosts: [
      {
        name: `inbound|http|${servicePort}`,
        domains: ['*'],
        routes: [
          {
            name: 'default',
            match: { prefix: '/' },
            decorator: { operation: serviceOperation(host, servicePort) },
            route: {
              cluster,
              timeout: '0s',
              maxStreamDuration: { maxStreamDuration: '0s', grpcTimeoutHeaderMax: '0s' },
              retryPolicy: retries ? undefined : inboundRetryPolicy(context.mesh.defaultInboundHttpRetryPolicy),
            },
          },
        ],
      },
    ],
  };
}
