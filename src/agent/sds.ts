// Envoy's secret discovery service on a unix socket, in both forms of xDS.
// In: streams from Envoy; out: secrets of the SecretTable, pushed again whenever they change. Called by agent.ts.

import { anyOf, decode, encode, typeUrlOf } from '../codec/index.ts';
import type { ServerCall } from '../grpc/call.ts';
import { CODES } from '../grpc/errors.ts';
import { payload } from '../grpc/frames.ts';
import { serveOnSocket, type SocketServer } from '../grpc/socket-server.ts';
import type { Log, Meter, Timers } from '../lib/ports.ts';
import { type SecretRequest, type SecretResponse, SecretStream } from './sds-stream.ts';
import type { SecretTable } from './secrets.ts';

const SERVICE = '/envoy.service.secret.v3.SecretDiscoveryService';
const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret';
const TYPE_URL = typeUrlOf(SECRET);

/** Serves until the server is closed. */
export async function serveSecrets(
  socket: string,
  table: SecretTable,
  { log, meter, timers }: { readonly log: Log; readonly meter: Meter; readonly timers: Timers },
): Promise<SocketServer> {
  const scoped = log.child('sds');
  const refusals = meter.counter('meltemi_agent_sds_refusals_total', 'Secrets that Envoy refused.');
  const run = (form: 'sotw' | 'delta') => (call: ServerCall) => {
    const { read, write } = FORMS[form];
    const stream = new SecretStream(table, form, {
      send: (response) => void call.write(payload(write(response))),
      refused: (names, reason) => {
        refusals.inc();
        scoped.error({ names, reason }, 'Envoy refused a secret');
      },
    });
    call.listen({
      message: (bytes) => {
        try {
          stream.request(read(bytes));
        } catch (error) {
          scoped.warn({ reason: String(error) }, 'unreadable secret request');
          call.end(CODES.INVALID_ARGUMENT, 'unreadable secret request', false);
        }
      },
      writable: () => undefined,
      ended: () => stream.close(),
    });
  };
  const routes = new Map([
    [`${SERVICE}/StreamSecrets`, run('sotw')],
    [`${SERVICE}/DeltaSecrets`, run('delta')],
    [`${SERVICE}/FetchSecrets`, (call: ServerCall) => fetchOnce(call, table)],
  ]);
  return serveOnSocket(socket, routes, timers);
}

interface Form {
  readonly read: (bytes: Buffer) => SecretRequest;
  readonly write: (response: SecretResponse) => Uint8Array;
}

const FORMS: Readonly<Record<'sotw' | 'delta', Form>> = {
  sotw: { read: readSotw, write: writeSotw },
  delta: { read: readDelta, write: writeDelta },
};

function readSotw(bytes: Buffer): SecretRequest {
  const request = decode('envoy.service.discovery.v3.DiscoveryRequest', bytes);
  return {
    nonce: request.responseNonce ?? '',
    error: reasonIn(request.errorDetail),
    subscribe: request.resourceNames ?? [],
    unsubscribe: 'others',
    held: {},
  };
}

function readDelta(bytes: Buffer): SecretRequest {
  const request = decode('envoy.service.discovery.v3.DeltaDiscoveryRequest', bytes);
  return {
    nonce: request.responseNonce ?? '',
    error: reasonIn(request.errorDetail),
    subscribe: request.resourceNamesSubscribe ?? [],
    unsubscribe: request.resourceNamesUnsubscribe ?? [],
    held: request.initialResourceVersions ?? {},
  };
}

function reasonIn(detail: object | undefined): string | undefined {
  if (detail === undefined) return undefined;
  return 'message' in detail ? String(detail.message) : 'no reason given';
}

function writeSotw(response: SecretResponse): Uint8Array {
  const resources = response.secrets.map((secret) => anyOf(SECRET, secret.json));
  const { nonce, version: versionInfo } = response;
  return encode('envoy.service.discovery.v3.DiscoveryResponse', {
    versionInfo,
    nonce,
    typeUrl: TYPE_URL,
    resources,
  });
}

function writeDelta(response: SecretResponse): Uint8Array {
  const resources = response.secrets.map(({ json, version }) => ({
    name: json.name ?? '',
    version,
    resource: anyOf(SECRET, json),
  }));
  const { nonce, version: systemVersionInfo } = response;
  return encode('envoy.service.discovery.v3.DeltaDiscoveryResponse', {
    systemVersionInfo,
    nonce,
    typeUrl: TYPE_URL,
    resources,
  });
}

/** One request, one answer. */
function fetchOnce(call: ServerCall, table: SecretTable): void {
  const answer = async (bytes: Buffer): Promise<void> => {
    try {
      const found = await Promise.all(readSotw(bytes).subscribe.map((name) => table.get(name)));
      const secrets = found.filter((secret) => secret !== undefined);
      const version = secrets.map((secret) => secret.version).join('.');
      call.write(payload(writeSotw({ nonce: '1', version, secrets })));
      call.end(CODES.OK, '', false);
    } catch {
      call.end(CODES.INVALID_ARGUMENT, 'unreadable secret request', false);
    }
  };
  call.listen({
    message: (bytes) => void answer(bytes),
    writable: () => undefined,
    halfClosed: () => undefined,
    ended: () => undefined,
  });
}
