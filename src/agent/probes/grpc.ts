// The gRPC health check (grpc.health.v1), over a connection whose source address can be chosen.
// In: where and what to ask; out: nothing if the service serves, a rejection if not. Called by probe.ts.

import { connect as connectHttp2, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2';
import { connect } from 'node:net';
import { WireReader } from '../../codec/reader.ts';
import type { ProbeTarget } from './target.ts';

export interface GrpcAttempt extends ProbeTarget {
  readonly port: number;
  readonly service: string;
  readonly timeoutMs: number;
}

const PATH = '/grpc.health.v1.Health/Check';
const STATES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
const SERVING = 1;
/** Of HTTP. */
const OK = 200;
/** Compression flag and length, before each message. */
const PREFIX = 5;

export async function grpcHealth({ host, port, source, service, timeoutMs }: GrpcAttempt): Promise<void> {
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const socket = connect({ host, port, ...(source === undefined ? {} : { localAddress: source }) });
  const session = connectHttp2(`http://${authority}`, { createConnection: () => socket });
  const timer = setTimeout(() => session.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    const failed = new Promise<never>((_resolve, reject) => session.once('error', reject));
    const stream = session.request({
      ':method': 'POST',
      ':path': PATH,
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': 'kube-probe/1.0',
    });
    stream.end(requestBytes(service));
    const state = await Promise.race([stateOf(stream), failed]);
    if (state !== SERVING) throw new Error(`the service is ${STATES[state] ?? state}`);
  } finally {
    clearTimeout(timer);
    session.destroy();
  }
}

function requestBytes(service: string): Buffer {
  const name = Buffer.from(service);
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...varint(name.length)]), name]);
  const prefix = Buffer.alloc(PREFIX);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)];
}

function stateOf(stream: ClientHttp2Stream): Promise<number> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let status = '0';
    const seen = (headers: IncomingHttpHeaders): void => {
      status = String(headers['grpc-status'] ?? status);
      const http = Number(headers[':status'] ?? OK);
      if (http !== OK) reject(new Error(`HTTP status ${http}`));
    };
    stream.on('response', seen);
    stream.on('trailers', seen);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', reject);
    stream.on('end', () => {
      if (status !== '0') reject(new Error(`gRPC status ${status}`));
      else resolve(stateIn(Buffer.concat(chunks).subarray(PREFIX)));
    });
  });
}

/** HealthCheckResponse {status = 1}. */
function stateIn(message: Buffer): number {
  const reader = new WireReader(message);
  while (reader.position < message.length) {
    const tag = reader.varint();
    if (tag === 0x08) return reader.varint();
    reader.skip(tag);
  }
  return 0;
}
