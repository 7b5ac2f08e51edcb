// Authorizers behind CUSTOM policies, for tests: one over HTTP is an ordinary application, this one speaks gRPC.

import { fileURLToPath } from 'node:url';
import { loadPackageDefinition, Server, ServerCredentials, type ServiceClientConstructor } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

/** What Envoy asks, as far as the tests look at it. */
export interface CheckRequest {
  readonly attributes: {
    readonly source: { readonly principal: string } | null;
    readonly request: {
      readonly http: {
        readonly path: string;
        readonly headers: Readonly<Record<string, string>>;
        readonly body: string;
      } | null;
    } | null;
  };
}

export interface GrpcAuthorizer {
  /** All that was asked. */
  readonly seen: readonly CheckRequest[];
  stop(): void;
}

const OK = 0;
const PERMISSION_DENIED = 7;

/** Lets through what `allows` says, with a header that tells the application so; the rest is denied with 402. */
export async function startGrpcAuthorizer(
  address: string,
  port: number,
  allows: (request: CheckRequest) => boolean,
): Promise<GrpcAuthorizer> {
  const seen: CheckRequest[] = [];
  const server = new Server();
  server.addService(authorization().service, {
    check: ({ request }: { readonly request: CheckRequest }, answer: (error: null, response: object) => void) => {
      seen.push(request);
      answer(null, allows(request) ? ALLOWED : DENIED);
    },
  });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`${address}:${port}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return { seen, stop: () => server.forceShutdown() };
}

const ALLOWED = {
  status: { code: OK },
  ok_response: { headers: [{ header: { key: 'x-judged-by', value: 'grpc' } }] },
};
const DENIED = {
  status: { code: PERMISSION_DENIED },
  denied_response: { status: { code: 'PaymentRequired' }, body: 'pay first' },
};

function authorization(): ServiceClientConstructor {
  const deps = fileURLToPath(new URL('../../node_modules/@grpc/grpc-js-xds/deps/', import.meta.url));
  const includeDirs = ['envoy-api', 'googleapis', 'xds', 'protoc-gen-validate'].map((name) => deps + name);
  const definition = loadSync('envoy/service/auth/v3/external_auth.proto', {
    includeDirs,
    keepCase: true,
    defaults: true,
    enums: String,
  });
  const loaded = loadPackageDefinition(definition) as unknown as {
    readonly envoy: { readonly service: { readonly auth: { readonly v3: { readonly Authorization: unknown } } } };
  };
  return loaded.envoy.service.auth.v3.Authorization as ServiceClientConstructor;
}
