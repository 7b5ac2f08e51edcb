import { connect, type TLSSocket } from 'node:tls';
import { Server } from '@grpc/grpc-js';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { type ServingPair, servingCredentials } from '../../src/ca/serving-credentials.ts';
import { issue } from '../support/certificates.ts';
import { newFolder, removeFolders } from './support.ts';

afterAll(removeFolders);

const folder = newFolder();
const root = issue(folder, 'root', 'DNS:root');
const first = issue(folder, 'first', 'DNS:localhost', root);
const second = issue(folder, 'second', 'DNS:localhost', root);
const workload = issue(folder, 'workload', 'URI:spiffe://cluster.local/ns/a/sa/b', root);

const pairOf = ({ cert, key }: typeof first): ServingPair => ({
  certificatePem: cert,
  keyPem: key,
  rootsPem: root.cert,
});

class Source {
  current = pairOf(first);
  readonly #listeners = new Set<(pair: ServingPair) => void>();

  onChange(listener: (pair: ServingPair) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  renew(pair: ServingPair): void {
    this.current = pair;
    for (const listener of this.#listeners) listener(pair);
  }
}

describe('credentials of the gRPC server', () => {
  const cleanups: (() => void)[] = [];
  afterEach(() => {
    for (const cleanup of cleanups.splice(0)) cleanup();
  });

  const serve = async (source: Source): Promise<number> => {
    const server = new Server();
    cleanups.push(() => server.forceShutdown());
    return new Promise((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', servingCredentials(source), (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  };

  const call = async (port: number, pair?: typeof workload): Promise<{ socket: TLSSocket; session: Buffer }> => {
    const socket = connect({
      ...{ host: '127.0.0.1', port, servername: 'localhost', ca: root.cert, ALPNProtocols: ['h2'] },
      ...(pair === undefined ? {} : { cert: pair.cert, key: pair.key }),
    });
    cleanups.push(() => socket.destroy());
    const session = new Promise<Buffer>((resolve) => socket.once('session', resolve));
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    return { socket, session: await session };
  };

  it('takes connections from the first moment, and shows the newest certificate to each', async () => {
    const source = new Source();
    const port = await serve(source);
    const shown = async () => (await call(port)).socket.getPeerCertificate().subject.CN;
    expect(await shown()).toBe('first');
    source.renew(pairOf(second));
    expect(await shown()).toBe('second');
  });

  it('gives tickets that hold nothing: they need not be made of the client certificate', async () => {
    const port = await serve(new Source());
    const unknown = await call(port);
    const known = await call(port, workload);
    expect(unknown.socket.getProtocol()).toBe('TLSv1.3');
    // One that held the session would be longer by the certificate: 500 bytes and more.
    expect(Math.abs(known.session.length - unknown.session.length)).toBeLessThan(100);
  });
});
