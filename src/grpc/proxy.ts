// The way through an HTTP proxy: which one the environment names for a server, and a tunnel through it (CONNECT).
// In: an address and an environment. Out: a socket at whose other end the server is. Called by the agent.

import { BlockList, connect, isIP, type Socket } from 'node:net';

export interface HttpProxy {
  readonly host: string;
  readonly port: number;
  /** Value of `proxy-authorization`. */
  readonly authorization: string | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

const DEFAULT_PORT = 80;

/**
 * The proxy for `host:port`, by the variables that gRPC's libraries read: grpc_proxy, https_proxy or http_proxy, and the hosts,
 * domains and IPv4 ranges of no_grpc_proxy or no_proxy that need none. A proxy that isn't spoken to by plain HTTP is none.
 */
export function proxyFor(address: string, env: Env): HttpProxy | undefined {
  const named = env['grpc_proxy'] || env['https_proxy'] || env['http_proxy'];
  const url = named !== undefined && URL.canParse(named) ? new URL(named) : undefined;
  if (url?.protocol !== 'http:' || address.startsWith('unix:')) return undefined;
  const host = address.slice(0, address.lastIndexOf(':')).replaceAll(/[[\]]/g, '');
  const direct = (env['no_grpc_proxy'] || env['no_proxy'] || '').split(',').map((entry) => entry.trim());
  if (direct.some((entry) => isCovered(host, entry))) return undefined;
  const credentials = [url.username, url.password].filter((part) => part !== '').map(decodeURIComponent);
  return {
    host: url.hostname.replaceAll(/[[\]]/g, ''),
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    authorization:
      credentials.length === 0 ? undefined : `Basic ${Buffer.from(credentials.join(':')).toString('base64')}`,
  };
}

function isCovered(host: string, entry: string): boolean {
  if (entry === '') return false;
  const [, range = '', bits = ''] = /^([\d.]+)\/(\d+)$/.exec(entry) ?? [];
  if (bits === '') return entry === '*' || host === entry || host.endsWith(entry.startsWith('.') ? entry : `.${entry}`);
  if (isIP(host) !== 4 || isIP(range) !== 4 || Number(bits) > 32) return false;
  const list = new BlockList();
  list.addSubnet(range, Number(bits));
  return list.check(host);
}

/** Longest answer to CONNECT, bytes. */
const MAX_ANSWER = 16 * 1024;

/** Connects to `address` through a proxy. Rejects with what went wrong, or when it takes too long. */
export function openTunnel(address: string, proxy: HttpProxy, timeoutMs: number): Promise<Socket> {
  const { host, port, authorization } = proxy;
  const socket = connect({ host, port });
  const asked = [`CONNECT ${address} HTTP/1.1`, `host: ${address}`];
  if (authorization !== undefined) asked.push(`proxy-authorization: ${authorization}`);
  socket.write(`${asked.join('\r\n')}\r\n\r\n`);
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new Error(`the proxy ${host}:${port} ${reason}`));
    };
    const timer = setTimeout(() => fail(`made no connection within ${timeoutMs} ms`), timeoutMs);
    let answer: Buffer = Buffer.alloc(0);
    const closed = (): void => fail('closed the connection');
    const failed = (error: Error): void => fail(`is not reached: ${error.message}`);
    const read = (chunk: Buffer): void => {
      answer = Buffer.concat([answer, chunk]);
      const end = answer.indexOf('\r\n\r\n');
      if (end < 0) return answer.length > MAX_ANSWER ? fail('did not answer in HTTP') : undefined;
      const [line = ''] = answer.subarray(0, end).toString('latin1').split('\r\n');
      if (!/^HTTP\/1\.[01] 2\d\d\b/.test(line)) return fail(`answered ${JSON.stringify(line)}`);
      clearTimeout(timer);
      socket.off('data', read).off('error', failed).off('close', closed).pause();
      if (answer.length > end + 4) socket.unshift(answer.subarray(end + 4));
      resolve(socket);
    };
    socket.on('data', read).on('error', failed).on('close', closed);
  });
}
