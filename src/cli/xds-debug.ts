// One question to a control plane over xDS: a debug type and its arguments. In: an address, a type, names. Out: the
// resources of the answer, as they came. Called by the commands that look at a running mesh; whatever goes wrong becomes
// one line for the user.

import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { encode } from '../codec/index.ts';
import { bytesField, stringField, WireReader } from '../xds/wire.ts';
import { UsageError } from './program.ts';

export interface DebugQuestion {
  /** `host:port`, plaintext. */
  readonly address: string;
  readonly typeUrl: string;
  readonly names?: readonly string[];
  /** ms until the answer must be there. */
  readonly timeout?: number;
}

export interface DebugResource {
  readonly typeUrl: string;
  readonly bytes: Uint8Array;
}

export interface DebugAnswer {
  readonly version: string;
  readonly typeUrl: string;
  readonly nonce: string;
  /** `control_plane.identifier`. */
  readonly identifier: string;
  readonly resources: readonly DebugResource[];
}

export const SYNC_TYPE = 'istio.io/debug/syncz';
export const DUMP_TYPE = 'istio.io/debug/config_dump';

const METHOD = '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources';
const DEFAULT_TIMEOUT = 10_000;

/** Asks and waits for the first answer. Rejects with a UsageError. */
export function askDebug(question: DebugQuestion): Promise<DebugAnswer> {
  const address = question.address.startsWith(':') ? `localhost${question.address}` : question.address;
  const timeout = question.timeout ?? DEFAULT_TIMEOUT;
  const client = new Client(address, credentials.createInsecure(), { 'grpc.max_receive_message_length': -1 });
  const call = client.makeBidiStreamRequest(METHOD, same, same, { deadline: Date.now() + timeout });
  return new Promise<DebugAnswer>((resolve, reject) => {
    call.on('data', (bytes: Buffer) => {
      try {
        resolve(readAnswer(bytes));
      } catch {
        reject(new UsageError(`${address} answers something else than xDS`));
      }
    });
    call.on('error', (error: ServiceError) => reject(problemOf(error, address, timeout)));
    call.on('end', () => reject(new UsageError(`${address} ended the stream without an answer`)));
    call.write(requestFor(question));
  }).finally(() => {
    call.cancel();
    client.close();
  });
}

function same(bytes: Buffer): Buffer {
  return bytes;
}

/** The node says as istioctl's that no proxy is asking, so that any control plane of this API understands. */
function requestFor({ typeUrl, names = [] }: DebugQuestion): Buffer {
  const node = encode('envoy.config.core.v3.Node', {
    id: 'sidecar~0.0.0.0~meltemi-cli.istio-system~istio-system.svc.cluster.local',
    metadata: { GENERATOR: 'event', NAMESPACE: 'istio-system', SERVICE_ACCOUNT: 'default' },
  });
  return Buffer.concat([
    bytesField(2, node),
    ...names.map((name) => bytesField(3, Buffer.from(name))),
    stringField(4, typeUrl),
  ]);
}

/** envoy.service.discovery.v3.DiscoveryResponse with its Anys unopened: a dump holds more types than we know. */
function readAnswer(bytes: Buffer): DebugAnswer {
  const reader = new WireReader(bytes);
  const resources: DebugResource[] = [];
  let [version, typeUrl, nonce, identifier] = ['', '', '', ''];
  while (reader.next()) {
    if (reader.field === 1) version = reader.text();
    else if (reader.field === 2) resources.push(readAny(reader.nested()));
    else if (reader.field === 4) typeUrl = reader.text();
    else if (reader.field === 5) nonce = reader.text();
    else if (reader.field === 6) identifier = firstText(reader.nested());
  }
  return { version, typeUrl, nonce, identifier, resources };
}

function readAny(reader: WireReader): DebugResource {
  let typeUrl = '';
  let bytes: Uint8Array = new Uint8Array();
  while (reader.next()) {
    if (reader.field === 1) typeUrl = reader.text();
    else if (reader.field === 2) bytes = reader.content();
  }
  return { typeUrl, bytes };
}

function firstText(reader: WireReader): string {
  while (reader.next()) if (reader.field === 1) return reader.text();
  return '';
}

function problemOf(error: ServiceError, address: string, timeout: number): UsageError {
  const details = error.details.replace(/\s+/g, ' ').trim();
  if (error.code === status.UNAVAILABLE) {
    const cause = /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ECONNRESET|ETIMEDOUT/.exec(details)?.[0];
    return new UsageError(
      `no control plane answers at ${address}: ${CAUSES[cause ?? ''] ?? (details || 'unavailable')}`,
    );
  }
  if (error.code === status.DEADLINE_EXCEEDED)
    return new UsageError(`${address} did not answer within ${timeout / 1000} s`);
  if (error.code === status.UNAUTHENTICATED || error.code === status.PERMISSION_DENIED)
    return new UsageError(`${address} refuses to answer: ${details}`);
  return new UsageError(`${address}: ${details || status[error.code]}`);
}

const CAUSES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  ENOTFOUND: 'unknown host',
  EAI_AGAIN: 'host can not be looked up',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ETIMEDOUT: 'connection timed out',
};
