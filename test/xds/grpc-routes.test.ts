import { connect } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { bindWithRoutes } from '../../src/xds/grpc-routes.ts';

const ADDRESS = { host: '127.0.0.1', port: 0 };
const ROUTES = { streams: new Map(), session: () => undefined };

const bind = (server: Server): Promise<number> =>
  bindWithRoutes(server, ADDRESS, ServerCredentials.createInsecure(), ROUTES, () => undefined);

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, ADDRESS.host);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

describe('a bound gRPC server', () => {
  it('takes connections until it is shut down', async () => {
    const server = new Server();
    const port = await bind(server);
    expect(await answers(port)).toBe(true);
    server.forceShutdown();
    await expect.poll(() => answers(port)).toBe(false);
  });

  it('takes none when it was shut down while it was being bound', async () => {
    const server = new Server();
    const binding = bind(server);
    server.forceShutdown();
    expect(await answers(await binding)).toBe(false);
  });
});
