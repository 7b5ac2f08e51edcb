// The application of a pod in a network namespace: does what the lines on its input ask, one JSON object each, and writes
// one line for each. Ends with its input.

import { Agent } from 'node:http';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { type CallAnswer, call, startHttpApp, startTcpApp } from './apps.ts';

interface HttpRequest {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Request {
  readonly call?: HttpRequest;
  /** The same call many times; answers how often each application said `app`, or each status that was not 200. */
  readonly count?: HttpRequest & { readonly times: number };
  readonly serve?: { readonly port: number; readonly name: string; readonly address: string };
  readonly talk?: { readonly address: string; readonly port: number; readonly text: string };
}

async function answer(request: Request): Promise<object> {
  if (request.call !== undefined) {
    const { status, headers, body } = await http(request.call);
    return { status, headers, body };
  }
  if (request.serve !== undefined) {
    const { port, name, address } = request.serve;
    await (name.startsWith('tcp') ? startTcpApp(name, address, port) : startHttpApp({ name, address, port }));
  }
  if (request.count !== undefined) return { body: JSON.stringify(await count(request.count, request.count.times)) };
  return request.talk === undefined ? {} : { body: await talk(request.talk) };
}

function http({ url, headers }: HttpRequest, agent?: Agent): Promise<CallAnswer> {
  const { hostname, port, pathname, host } = new URL(url);
  const address = hostname.replace(/^\[|\]$/g, '');
  const target = { address, port: port === '' ? 80 : Number(port), path: pathname, timeoutMs: 5000 };
  return call({ ...target, headers: { host, ...headers }, agent });
}

async function count(request: HttpRequest, times: number): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  const agent = new Agent({ keepAlive: true });
  let left = times;
  const work = async (): Promise<void> => {
    while (left-- > 0) {
      const reply = await http(request, agent);
      const key = reply.status === 200 ? reply.echo().app : String(reply.status);
      counts[key] = (counts[key] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: 10 }, work));
  agent.destroy();
  return counts;
}

function talk({ address, port, text }: NonNullable<Request['talk']>): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, address, () => socket.write(text));
    socket.setTimeout(3000, () => socket.destroy(new Error('silence')));
    socket.once('data', (chunk) => {
      resolve(chunk.toString());
      socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed without an answer')));
  });
}

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  answer(JSON.parse(line) as Request)
    .catch((error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }))
    .then((result) => process.stdout.write(`${JSON.stringify(result)}\n`))
    .catch(() => process.exit(1));
});
input.on('close', () => process.exit(0));
