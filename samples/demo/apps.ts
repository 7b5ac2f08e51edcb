// The applications of bookinfo, all in one process: each listens on a loopback port of its own, behind its own sidecar.
// None of them knows about TLS, retries or versions: that is what the sidecars are for.

import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerResponse,
} from 'node:http';
import { createServer as createTcpServer, type Server as TcpServer } from 'node:net';
import { Server as GrpcServer, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import { get, line, type Quote, QuotesService, quotesClient } from './calls.ts';
import { appPort, type DemoWorkload, egressAddress, WORKLOADS } from './workloads.ts';

export interface Apps {
  stop(): Promise<void>;
}

type Handler = (request: IncomingMessage) => Promise<object>;

/** What the page says about one of the services that it asked. */
export interface Part {
  readonly ok: boolean;
  readonly version?: string | undefined;
  /** SPIFFE id that the callee saw. */
  readonly caller?: string | undefined;
  readonly detail?: string | undefined;
}

export interface Page {
  readonly details: Part;
  readonly reviews: Part;
  readonly ratings: Part;
  readonly ledger: Part;
  readonly quotes: Part;
  readonly weather: Part;
}

/** Starts every application; rejects when a port is taken. */
export async function startApps(): Promise<Apps> {
  const closers: (() => void)[] = [];
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0)) close();
  };
  try {
    for (const workload of WORKLOADS) {
      const handler = HTTP_APPS[workload.app]?.(workload, closers);
      if (handler !== undefined) closers.push(await serveHttp(workload, handler));
    }
    closers.push(await serveLedger(byApp('ledger')), await serveQuotes(byApp('quotes')), await serveWeather());
  } catch (error) {
    await stop();
    throw error;
  }
  return { stop };
}

function byApp(app: string): DemoWorkload {
  const workload = WORKLOADS.find((candidate) => candidate.app === app);
  if (workload === undefined) throw new Error(`no workload ${app}`);
  return workload;
}

const HTTP_APPS: Readonly<Record<string, (workload: DemoWorkload, closers: (() => void)[]) => Handler>> = {
  productpage: (workload, closers) => productpage(workload, closers),
  details: () => async () => ({ title: 'The Odyssey', author: 'Homer', pages: 541 }),
  reviews: (workload) => reviews(workload),
  ratings: () => async () => ({ stars: 5 }),
};

function productpage(workload: DemoWorkload, closers: (() => void)[]): Handler {
  const out = egressAddress(workload);
  const quotes = quotesClient(out, 7070, 'quotes.bookinfo.svc.cluster.local:7070');
  closers.push(quotes.close);
  const http = async (host: string, port: number): Promise<Part & { readonly inner?: Part }> => {
    const answer = await get(out, port, host, '/', {});
    if (answer.status !== 200) return { ok: false, detail: `${answer.status}` };
    return { ok: true, ...(JSON.parse(answer.body) as object) };
  };
  return async () => {
    const [details, reviewed, ledger, quoted, weather] = await Promise.all([
      part(http('details:9080', 9080)),
      part(http('reviews:9080', 9080)),
      part(line(out, 7000, 'sold one').then((text) => ({ ok: text.startsWith('noted'), detail: text }))),
      part(quotes.random('The Odyssey').then((quote) => ({ ok: true, caller: quote.asked_by, detail: quote.text }))),
      part(http('api.weather.example:8888', 8888)),
    ]);
    const ratings = (reviewed as { readonly inner?: Part }).inner ?? { ok: true, detail: 'not asked' };
    return { details, reviews: reviewed, ratings, ledger, quotes: quoted, weather };
  };
}

function reviews(workload: DemoWorkload): Handler {
  return async () => {
    if (workload.version === 'v1') return { text: 'A long way home.' };
    const inner = await part(
      get(egressAddress(workload), 9080, 'ratings:9080', '/').then((answer) => {
        if (answer.status !== 200) return { ok: false, detail: `${answer.status}` };
        return { ok: true, ...(JSON.parse(answer.body) as object) };
      }),
    );
    return { text: 'A long way home.', color: workload.version === 'v2' ? 'black' : 'red', inner };
  };
}

function part(call: Promise<Part>): Promise<Part> {
  return call.catch((error: unknown) => ({
    ok: false,
    detail: error instanceof Error ? error.message : String(error),
  }));
}

/** Every answer names the version that gave it and who asked, as the sidecar proved it. */
function serveHttp(workload: DemoWorkload, handler: Handler): Promise<() => void> {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = {
      version: workload.version,
      caller: callerOf(request.headers['x-forwarded-client-cert']),
      ...(await handler(request)),
    };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(body));
  };
  const server = createHttpServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      response.statusCode = 500;
      response.end(String(error));
    });
  });
  return listening(server, appPort(workload), '127.0.0.1');
}

/** The URI of the last element of x-forwarded-client-cert: the direct caller. */
function callerOf(header: string | readonly string[] | undefined): string | undefined {
  const text = typeof header === 'string' ? header : header?.join(',');
  return /URI=([^;,]+)[^,]*$/.exec(text ?? '')?.[1];
}

function serveLedger(workload: DemoWorkload): Promise<() => void> {
  let entries = 0;
  const server = createTcpServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.on('data', () => {
      entries++;
      socket.write(`noted ${entries}\n`);
    });
  });
  return listening(server, appPort(workload), '127.0.0.1');
}

const QUOTES = ['Tell me, O Muse', 'Nobody is my name', 'Even a god would envy', 'Dawn with rose-red fingers'];

function serveQuotes(workload: DemoWorkload): Promise<() => void> {
  const server = new GrpcServer();
  let next = 0;
  server.addService(QuotesService, {
    Random: (call: ServerUnaryCall<object, Quote>, callback: sendUnaryData<Quote>) => {
      const header = call.metadata.get('x-forwarded-client-cert').map(String).join(',');
      next = (next + 1) % QUOTES.length;
      callback(null, { text: QUOTES[next] ?? '', asked_by: callerOf(header) ?? '' });
    },
  });
  return new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${appPort(workload)}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve(() => server.forceShutdown());
      else reject(error);
    });
  });
}

/** Not of the mesh: plain HTTP, no sidecar, as something on the internet would be. */
function serveWeather(): Promise<() => void> {
  const server = createHttpServer((request, response) => {
    response.end(
      JSON.stringify({
        version: 'internet',
        detail: `sunny, wind 7 from the north, asked by ${String(request.headers['x-asked-by'] ?? 'nobody')}`,
      }),
    );
  });
  return listening(server, 8888, '127.0.30.1');
}

function listening(server: HttpServer | TcpServer, port: number, host: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve(() => {
        server.close();
        if ('closeAllConnections' in server) server.closeAllConnections();
      });
    });
  });
}
