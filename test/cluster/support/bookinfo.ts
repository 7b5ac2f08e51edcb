// The sample's client pods: single requests from inside the cluster, and steady streams whose failures are counted.
import { IMAGE, kubectl } from './run.ts';

export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Counts {
  readonly sent: number;
  readonly answered: number;
  readonly failed: number;
  readonly failures: readonly { readonly at: string; readonly after: number; readonly why: string }[];
}

/** Pods that call: one in the mesh, one outside of it, each with a steady stream to the product page. */
export const CLIENTS = {
  mesh: { namespace: 'bookinfo', name: 'client', target: 'http://productpage:9080/', host: '' },
  outside: {
    namespace: 'outside',
    name: 'client',
    target: 'http://ingress.istio-ingress/',
    host: 'bookinfo.example.com',
  },
} as const;

export type Client = keyof typeof CLIENTS;

export function clientObjects(client: Client): object[] {
  const { namespace, name, target, host } = CLIENTS[client];
  const env = { APP: 'client', TARGET: target, TARGET_HOST: host };
  const labels = { app: name };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace, labels },
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: name,
            containers: [
              {
                name: 'app',
                image: IMAGE,
                command: ['node', '/srv/app.mjs'],
                securityContext: { runAsUser: 1000 },
                env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
                volumeMounts: [{ name: 'program', mountPath: '/srv' }],
              },
            ],
            volumes: [{ name: 'program', configMap: { name: 'app' } }],
          },
        },
      },
    },
  ];
}

function ask<T>(client: Client, path: string): Promise<T> {
  const { namespace, name } = CLIENTS[client];
  const program = `fetch(${JSON.stringify(`http://127.0.0.1:9080${path}`)}).then((r) => r.text()).then(console.log)`;
  const args = ['-n', namespace, 'exec', `deployment/${name}`, '-c', 'app', '--', 'node', '-e', program];
  return kubectl(...args).then((text) => JSON.parse(text) as T);
}

interface Request {
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: string;
}

/** Requests from a client's pod, one after the other; status 0 where there was no answer. */
export async function fetchTimes(times: number, client: Client, url: string, request: Request = {}): Promise<Answer[]> {
  const query = new URLSearchParams({ url, times: `${times}`, method: request.method ?? 'GET' });
  for (const [name, value] of Object.entries(request.headers ?? {})) query.append('header', `${name}: ${value}`);
  return (await ask<{ readonly answers: Answer[] }>(client, `/fetch?${query}`)).answers;
}

export async function fetchFrom(client: Client, url: string, request: Request = {}): Promise<Answer> {
  const [answer] = await fetchTimes(1, client, url, request);
  if (answer === undefined) throw new Error('no answer');
  return answer;
}

/** One line to a TCP service and back. */
export function lineFrom(
  client: Client,
  address: string,
): Promise<{ readonly text?: string; readonly failed?: string }> {
  return ask(client, `/fetch?${new URLSearchParams({ tcp: address })}`);
}

export function countsOf(client: Client): Promise<Counts> {
  return ask(client, '/stats');
}

/** What the streams lived through while `change` happened. */
export async function during(
  clients: readonly Client[],
  change: () => Promise<void>,
): Promise<Readonly<Record<string, Counts>>> {
  const before = await Promise.all(clients.map(countsOf));
  await change();
  // What was sent during the change is answered by now, or never.
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const after = await Promise.all(clients.map(countsOf));
  const entries = clients.map((client, i) => {
    const [then, now] = [before[i], after[i]];
    if (then === undefined || now === undefined) throw new Error('no counts');
    const failed = now.failed - then.failed;
    const failures = failed === 0 ? [] : now.failures.slice(-failed);
    return [client, { sent: now.sent - then.sent, answered: now.answered - then.answered, failed, failures }] as const;
  });
  return Object.fromEntries(entries);
}
