import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { serveHttp } from '../../src/console/http.ts';
import { issue } from '../support/certificates.ts';
import { consoleOf } from './support.ts';

describe('HTTPS', () => {
  it('shows the renewed certificate to new connections, while old ones go on', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'meltemi-https-'));
    const [first, second] = ['first', 'second'].map((name) => issue(folder, name, 'DNS:localhost'));
    if (first === undefined || second === undefined) throw new Error('no certificates');
    const server = await serveHttp(
      { host: '127.0.0.1', port: 0 },
      { port: consoleOf([]), mayInspect: async () => false, metrics: false, tls: first },
    );
    const opened = () =>
      new Promise<ReturnType<typeof connect>>((resolve, reject) => {
        const ca = [first.cert, second.cert];
        const socket = connect({ host: '127.0.0.1', port: server.address.port, servername: 'localhost', ca });
        socket.once('secureConnect', () => resolve(socket));
        socket.once('error', reject);
      });
    const subject = (socket: Awaited<ReturnType<typeof opened>>) => socket.getPeerCertificate().subject.CN;
    try {
      const before = await opened();
      server.renew(second);
      const after = await opened();
      expect([subject(before), subject(after)]).toEqual(['first', 'second']);
      before.write('GET /ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n');
      const answer = await new Promise<string>((resolve) =>
        before.once('data', (data: Buffer) => resolve(data.toString())),
      );
      expect(answer).toMatch(/^HTTP\/1\.1 200/);
      after.destroy();
    } finally {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
