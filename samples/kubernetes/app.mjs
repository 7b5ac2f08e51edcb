// The applications of bookinfo for Kubernetes: one program, told by APP which of them it is. Node alone, no packages.
// None of them knows about TLS, retries or versions: that is what the sidecars are for.

import { createServer, request } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import { hostname } from 'node:os';

const { APP = 'details', VERSION = 'v1', TARGET = '', TARGET_HOST = '', WORKERS = '2' } = process.env;
const PORT = Number(process.env['PORT'] ?? 9080);

/** How long a stopping application goes on serving: until everybody has heard that it is gone. */
const LAME_DUCK_MS = 5000;

const APPS = {
  productpage: async () => {
    const [details, reviews, ledger] = await Promise.all([
      json('http://details:9080/'),
      json('http://reviews:9080/'),
      line('ledger', 7000, 'sold one'),
    ]);
    return { details, reviews, ledger };
  },
  details: async () => ({ title: 'The Odyssey', author: 'Homer', pages: 541 }),
  reviews: async () => {
    if (VERSION === 'v1') return { text: 'A long way home.' };
    return {
      text: 'A long way home.',
      color: VERSION === 'v2' ? 'black' : 'red',
      ratings: await json('http://ratings:9080/'),
    };
  },
  ratings: async () => ({ stars: 5 }),
  client: async (path) => (path.startsWith('/fetch?') ? visit(path) : stats()),
};

// --- calls ---

/** @returns {Promise<{ status: number, body: string, headers: object }>} */
function call(url, headers = {}, method = 'GET') {
  return new Promise((resolve, reject) => {
    const sent = request(url, { headers, method, timeout: 30_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode, body, headers: response.headers }));
      response.on('error', reject);
    });
    sent.on('timeout', () => sent.destroy(new Error('timeout')));
    sent.on('error', reject);
    sent.end();
  });
}

async function json(url) {
  try {
    const { status, body } = await call(url);
    return status === 200 ? JSON.parse(body) : { failed: `${status} ${body.slice(0, 100)}` };
  } catch (error) {
    return { failed: String(error.message) };
  }
}

function line(host, port, text) {
  return new Promise((resolve) => {
    const socket = connect(port, host, () => socket.write(`${text}\n`));
    socket.setTimeout(30_000, () => socket.destroy(new Error('timeout')));
    socket.on('data', (data) => {
      resolve({ text: String(data).trim() });
      socket.end();
    });
    socket.on('error', (error) => resolve({ failed: error.message }));
    socket.on('close', () => resolve({ failed: 'closed' }));
  });
}

// --- the client: requests of our own choice, and a steady stream whose failures are counted ---

async function visit(path) {
  const query = new URL(path, 'http://client').searchParams;
  const headers = Object.fromEntries(query.getAll('header').map((header) => header.split(': ')));
  const host = query.get('tcp');
  if (host !== null) return line(host.split(':')[0], Number(host.split(':')[1]), 'hello');
  const once = () =>
    call(query.get('url'), headers, query.get('method') ?? 'GET').catch((error) => ({
      status: 0,
      body: String(error.message),
      headers: {},
    }));
  const answers = [];
  for (let left = Number(query.get('times') ?? 1); left > 0; left--) answers.push(await once());
  return { answers };
}

const counts = { sent: 0, answered: 0, failed: 0, failures: [] };

function stats() {
  return { ...counts, failures: counts.failures.slice(-10) };
}

async function once() {
  counts.sent++;
  const started = Date.now();
  const fail = (why) => {
    counts.failed++;
    counts.failures.push({ at: new Date(started).toISOString(), after: Date.now() - started, why });
  };
  try {
    const { status, body, headers } = await call(TARGET, TARGET_HOST === '' ? {} : { host: TARGET_HOST });
    if (status === 200 && !body.includes('"failed"')) counts.answered++;
    else fail(`${status} ${headers['server'] ?? ''} ${/"failed":"[^"]*"/.exec(body)?.[0] ?? body.slice(0, 200)}`);
  } catch (error) {
    fail(error.message);
  }
}

/** Each worker waits for its answer and a little more: a busy machine makes them slower, not more. */
async function work() {
  for (;;) {
    await once();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

if (APP === 'client' && TARGET !== '') for (let worker = 0; worker < Number(WORKERS); worker++) void work();

// --- serving ---

/** The URI of the last element of x-forwarded-client-cert: who called, as the sidecar proved it. */
function callerOf(header) {
  return /URI=([^;,]+)[^,]*$/.exec(String(header ?? ''))?.[1];
}

function answer(incoming, response) {
  if (stopping) response.setHeader('connection', 'close');
  APPS[APP](incoming.url)
    .then((body) => {
      const caller = callerOf(incoming.headers['x-forwarded-client-cert']);
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ app: APP, version: VERSION, pod: hostname(), caller, ...body }));
    })
    .catch((error) => {
      response.statusCode = 500;
      response.end(String(error));
    });
}

function ledger() {
  let entries = 0;
  return createTcpServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.on('data', () => socket.write(`noted ${++entries}\n`));
  });
}

let stopping = false;
const server = APP === 'ledger' ? ledger() : createServer({ keepAliveTimeout: 75_000 }, answer);
server.listen(PORT, () => console.log(`${APP} ${VERSION} on ${PORT}`));

process.on('SIGTERM', () => {
  stopping = true;
  setTimeout(() => {
    server.close(() => process.exit(0));
    server.closeIdleConnections?.();
    setTimeout(() => process.exit(0), LAME_DUCK_MS).unref();
  }, LAME_DUCK_MS);
});
