// Envoy's secret discovery service on a unix socket, in both forms of xDS.
// In: streams from Envoy; out: secrets of the SecretTable, pushed again whenever they change. Called by agent.ts.

import { type Server, type ServerDuplexStream, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { anyOf, decode, encode, typeUrlOf } from '../codec/index.ts';
import type { Log, Meter } from '../lib/ports.ts';
import { rawMethod, serveOnSocket } from './raw-grpc.ts';
import { type SecretRequest, type SecretResponse, SecretStream } from './sds-stream.ts';
import type { SecretTable } from './secrets.ts';

const SERVICE = '/envoy.service.secret.v3.SecretDiscoveryService';
const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret';
const TYPE_URL = typeUrlOf(SECRET);

const METHODS = {
  StreamSecrets: rawMethod(`${SERVICE}/StreamSecrets`, 'bidi'),
  DeltaSecrets: rawMethod(`${SERVICE}/DeltaSecrets`, 'bidi'),
  FetchSecrets: rawMethod(`${SERVICE}/FetchSecrets`, 'unary'),
};

type RawStream = ServerDuplexStream<Buffer, Buffer>;

/** Serves until the server is shut down. */
export async function serveSecrets(socket: string, table: SecretTable, log: Log, meter: Meter): Promise<Server> {
  const scoped = log.child('sds');
  const refusals = meter.counter('meltemi_agent_sds_refusals_total', 'Secrets that Envoy refused.');
  const run = (call: RawStream, form: 'sotw' | 'delta'): void => {
    const { read, write } = FORMS[form];
    const stream = new SecretStream(table, form, {
      send: (response) => void call.write(write(response)),
      refused: (names, reason) => {
        refusals.inc();
        scoped.error({ names, reason }, 'Envoy refused a secret');
      },
    });
    call.on('data', (bytes: Buffer) => {
      try {
        stream.request(read(bytes));
      } catch (error) {
        scoped.warn({ reason: String(error) }, 'unreadable secret request');
        call.emit('error', { code: status.INVALID_ARGUMENT, details: 'unreadable secret request' });
      }
    });
    call.on('end', () => call.end());
    call.on('error', () => undefined);
    call.on('cancelled', () => stream.close());
    call.on('close', () => stream.close());
    call.on('finish', () => stream.close());
  };
  return serveOnSocket(socket, METHODS, {
    StreamSecrets: (call: RawStream) => run(call, 'sotw'),
    DeltaSecrets: (call: RawStream) => run(call, 'delta'),
    FetchSecrets: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) =>
      void fetchOnce(call.request, table, done),
  });
}

interface Form {
  readonly read: (bytes: Buffer) => SecretRequest;
  readonly write: (response: SecretResponse) => Buffer;
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

function writeSotw(response: SecretResponse): Buffer {
  const resources = response.secrets.map((secret) => anyOf(SECRET, secret.json));
  const { nonce, version: versionInfo } = response;
  return Buffer.from(
    encode('envoy.service.discovery.v3.DiscoveryResponse', { versionInfo, nonce, typeUrl: TYPE_URL, resources }),
  );
}

function writeDelta(response: SecretResponse): Buffer {
  const resources = response.secrets.map(({ json, version }) => ({
    name: json.name ?? '',
    version,
    resource: anyOf(SECRET, json),
  }));
  const { nonce, version: systemVersionInfo } = response;
  return Buffer.from(
    encode('envoy.service.discovery.v3.DeltaDiscoveryResponse', {
      systemVersionInfo,
      nonce,
      typeUrl: TYPE_URL,
      resources,
    }),
  );
}

async function fetchOnce(bytes: Buffer, table: SecretTable, done: sendUnaryData<Buffer>): Promise<void> {
  let answer: Buffer;
  try {
    const found = await Promise.all(readSotw(bytes).subscribe.map((name) => table.get(name)));
    const secrets = found.filter((secret) => secret !== undefined);
    answer = writeSotw({ nonce: '1', version: secrets.map((secret) => secret.version).join('.'), secrets });
  } catch {
    done({ code: status.INVALID_ARGUMENT, details: 'unreadable secret request' });
    return;
  }
  done(null, answer);
}
