// Calls that the applications make through their sidecars: HTTP, a line over TCP, one gRPC method.

import { type IncomingHttpHeaders, request } from 'node:http';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { credentials, type Client, loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  readonly headers: IncomingHttpHeaders;
}

const TIMEOUT_MS = 3000;

/** GET through a sidecar: `address` is where it listens, `host` whom the caller means. */
export function get(
  address: string,
  port: number,
  host: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const call = request(
      { host: address, port, path, headers: { host, ...headers }, timeout: TIMEOUT_MS },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            body: Buffer.concat(chunks).toString(),
            headers: response.headers,
          }),
        );
      },
    );
    call.on('timeout', () => call.destroy(new Error('timed out')));
    call.on('error', reject);
    call.end();
  });
}

/** Sends a line and resolves to the line that comes back. */
export function line(address: string, port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, address, () => socket.write(`${text}\n`));
    let seen = '';
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('timed out')));
    socket.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (!seen.includes('\n')) return;
      resolve(seen.slice(0, seen.indexOf('\n')));
      socket.end();
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed without an answer')));
  });
}

const definition = loadSync(fileURLToPath(new URL('quotes.proto', import.meta.url)), { keepCase: true });
const loaded = loadPackageDefinition(definition)['bookinfo'] as unknown as {
  readonly Quotes: ServiceClientConstructor;
};

export const QuotesService = loaded.Quotes.service;

export interface Quote {
  readonly text: string;
  readonly asked_by: string;
}

/** A client of the quotes service behind a sidecar. */
export function quotesClient(
  address: string,
  port: number,
  authority: string,
): { readonly random: (title: string) => Promise<Quote>; readonly close: () => void } {
  const client: Client = new loaded.Quotes(`${address}:${port}`, credentials.createInsecure(), {
    'grpc.default_authority': authority,
  });
  const method = (
    client as unknown as {
      readonly Random: (request: object, options: object, done: (error: Error | null, quote: Quote) => void) => void;
    }
  ).Random.bind(client);
  return {
    random: (title) =>
      new Promise((resolve, reject) => {
        method({ title }, { deadline: Date.now() + TIMEOUT_MS }, (error, quote) =>
          error === null ? resolve(quote) : reject(error),
        );
      }),
    close: () => client.close(),
  };
}
