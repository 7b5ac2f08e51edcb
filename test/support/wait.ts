// Waiting for what the outside world brings about: a process getting ready, a change reaching a proxy.

import { createServer } from 'node:net';

/** Asks until there is an answer other than undefined; a rejection counts as not yet. */
export async function eventually<T>(read: () => Promise<T | undefined>, what: string, timeoutMs = 15_000): Promise<T> {
  const end = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    const value = await read().catch((error: unknown) => {
      last = error;
      return undefined;
    });
    if (value !== undefined) return value;
    if (Date.now() > end)
      throw new Error(`${what}: not within ${timeoutMs} ms${last === undefined ? '' : ` (${last})`}`);
    await pause(20);
  }
}

/** Asks until the answer is yes. */
export async function until(check: () => Promise<boolean>, what: string, timeoutMs?: number): Promise<void> {
  await eventually(async () => ((await check()) ? true : undefined), what, timeoutMs);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Ports of one address that nothing listens on. */
export async function freePorts(count: number, host = '127.0.0.1'): Promise<readonly number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => listen(0, host)));
  const ports = servers.map((server) => (server.address() as { readonly port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** A loopback network of its own, `127.A.B`, for as long as it is held: meshes of several test files don't meet. */
export async function holdSubnet(): Promise<{ readonly prefix: string; release(): void }> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const prefix = `127.${100 + ((process.pid + attempt) % 100)}.${1 + ((process.pid >> 3) % 250)}`;
    const holder = await listen(LOCK_PORT, `${prefix}.254`).catch(() => undefined);
    if (holder !== undefined) return { prefix, release: () => void holder.close() };
  }
  throw new Error('no loopback network is free');
}

const LOCK_PORT = 24_999;

function listen(port: number, host: string): Promise<ReturnType<typeof createServer>> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen(port, host, () => resolve(server));
  });
}
