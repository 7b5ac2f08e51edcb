// Two revisions over one API server, each with its leader: what one writes the other leaves alone. Whoever owns an object writes
// its status, and while nothing happens nothing is written. Skipped without KUBECONFIG.
import { ChannelCredentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TYPE_URL } from '../../src/ir/draft.ts';
import type { Server } from '../../src/server.ts';
import { AdsClient } from '../../src/xds/client.ts';
import { eventually, pause, until } from '../support/wait.ts';
import { Cluster, kubeconfig, nodeBytes, type Raw, serve } from './cluster.ts';

const NETWORKING = 'networking.istio.io/v1';
/** Longer than any of the writers' pauses: reports every 5 to 6 s, statuses 5 s after the last. */
const QUIET_MS = 20_000;

const hostOf = (namespace: string, name: string): string => `${name}.${namespace}.example.com`;

type Named = Pick<Raw, 'apiVersion' | 'kind' | 'metadata'>;

interface Written {
  readonly resourceVersion: string;
  /** Of which generation its status tells, and of how many proxies that have it. */
  readonly generation: number | undefined;
  readonly proxies: string | undefined;
  readonly bundle: string | undefined;
}

describe.skipIf(kubeconfig === undefined)('two revisions at once', () => {
  let cluster: Cluster;
  let servers: Server[] = [];
  const clients: AdsClient[] = [];
  let system: string;
  /** Namespaces of the unnamed revision, of the other, and of nobody in particular. */
  let main: string;
  let canary: string;

  const route = (namespace: string, name: string, retries: number, labels = {}): Raw => ({
    ...{ apiVersion: NETWORKING, kind: 'VirtualService', metadata: { name, namespace, labels } },
    spec: {
      hosts: [hostOf(namespace, name)],
      http: [{ retries: { attempts: retries }, route: [{ destination: { host: hostOf(namespace, name) } }] }],
    },
  });
  const entry = (namespace: string): Raw => ({
    ...{ apiVersion: NETWORKING, kind: 'ServiceEntry', metadata: { name: 'ext', namespace } },
    spec: {
      hosts: [hostOf(namespace, 'own'), hostOf(namespace, 'marked')],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      resolution: 'DNS',
    },
  });
  const webhook = (revision: string): Raw => ({
    ...{ apiVersion: 'admissionregistration.k8s.io/v1', kind: 'MutatingWebhookConfiguration' },
    metadata: { name: cluster.name(`istio-sidecar-injector-${revision}`), labels: { 'istio.io/rev': revision } },
    webhooks: [
      {
        name: 'rev.namespace.sidecar-injector.istio.io',
        clientConfig: { service: { name: `istiod-${revision}`, namespace: system, path: '/inject', port: 443 } },
        ...{ admissionReviewVersions: ['v1'], sideEffects: 'None', failurePolicy: 'Ignore' },
        namespaceSelector: { matchLabels: { 'no-namespace': 'has-this' } },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
      },
    ],
  });
  const rootMap = (namespace: string): Named => ({
    ...{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'istio-ca-root-cert', namespace } },
  });

  const written = async (raw: Named): Promise<Written> => {
    const object = (await cluster.read(raw)) as {
      readonly metadata: { readonly resourceVersion: string };
      readonly status?: {
        readonly observedGeneration?: number;
        readonly conditions?: readonly { readonly message: string }[];
      };
      readonly webhooks?: readonly { readonly clientConfig: { readonly caBundle?: string } }[];
    };
    return {
      resourceVersion: object.metadata.resourceVersion,
      generation: object.status?.observedGeneration,
      proxies: /^\d+\/\d+/.exec(object.status?.conditions?.[0]?.message ?? '')?.[0],
      bundle: object.webhooks?.[0]?.clientConfig.caBundle,
    };
  };
  const objects = (): readonly Named[] => [
    ...[main, canary].flatMap((namespace) => [
      route(namespace, 'own', 1),
      route(namespace, 'marked', 1),
      entry(namespace),
    ]),
    ...[webhook('default'), webhook('canary')],
    ...[main, canary, system].map(rootMap),
  ];
  /** Versions of everything that a leader may write, by path. */
  const versions = async (): Promise<Record<string, string>> => {
    const found: Record<string, string> = {};
    for (const object of objects()) {
      const { namespace = '', name } = object.metadata;
      found[`${object.kind} ${namespace}/${name}`] = (await written(object)).resourceVersion;
    }
    return found;
  };
  /** Once the last word is said, nothing is written while nothing happens. */
  const expectQuiet = async (): Promise<void> => {
    let before = await versions();
    const isStill = async (): Promise<boolean> => {
      const last = before;
      await pause(QUIET_MS / 2);
      before = await versions();
      return JSON.stringify(before) === JSON.stringify(last);
    };
    await until(isStill, 'the writers to come to rest', 90_000);
    await pause(QUIET_MS);
    expect(await versions()).toEqual(before);
  };
  /** By the proxies that a status counts one sees who has written it. */
  const tells = (raw: Raw, generation: number, proxies: string) =>
    until(
      async () => {
        const now = await written(raw);
        return now.generation === generation && now.proxies === proxies;
      },
      `the status of ${raw.metadata.namespace}/${raw.metadata.name}: ${proxies} have ${generation}`,
      60_000,
    );
  const BY_MAIN = '2/2';
  const BY_CANARY = '1/1';

  beforeAll(async () => {
    cluster = new Cluster();
    await cluster.define('networking.istio.io', 'VirtualService', 'virtualservices');
    await cluster.define('networking.istio.io', 'ServiceEntry', 'serviceentries');
    system = await cluster.namespace('system');
    main = await cluster.namespace('main', { 'istio-injection': 'enabled' });
    canary = await cluster.namespace('canary', { 'istio.io/rev': 'canary' });
    for (const revision of ['default', 'canary']) await cluster.put(webhook(revision));
    for (const namespace of [main, canary]) {
      await cluster.put(entry(namespace));
      await cluster.put(route(namespace, 'own', 1));
    }
    await cluster.put(route(main, 'marked', 1, { 'istio.io/rev': 'canary' }));
    await cluster.put(route(canary, 'marked', 1, { 'istio.io/rev': 'default' }));
    servers = await Promise.all([
      serve(system, { replica: 'main-0' }),
      serve(system, { revision: 'canary', replica: 'canary-0' }),
    ]);
    // A revision counts its own proxies: two that wrote of one object would never agree.
    for (const [index, namespace] of [main, main, canary].entries()) {
      const client = new AdsClient({
        address: `127.0.0.1:${servers[namespace === main ? 0 : 1]?.addresses.grpc?.port}`,
        credentials: ChannelCredentials.createInsecure(),
        mode: 'delta',
        node: nodeBytes({ namespace, name: `app-${index}`, ip: `10.9.9.${index + 1}` }),
      });
      clients.push(client);
      client.subscribe(TYPE_URL.cluster);
      client.subscribe(TYPE_URL.listener);
      client.subscribe(TYPE_URL.route, ['80']);
    }
  });

  afterAll(async () => {
    for (const client of clients) client.close();
    await Promise.all(servers.map((server) => server.stop()));
    await cluster.clean();
  });

  it('have a leader each, and write what is theirs once', async () => {
    const holder = async (name: string) => {
      const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name, namespace: system } };
      return ((await cluster.read(lease))?.['spec'] as { readonly holderIdentity?: string } | undefined)
        ?.holderIdentity;
    };
    await until(async () => (await holder('meltemi-leader-default')) === 'main-0', 'the first leader', 60_000);
    await until(async () => (await holder('meltemi-leader-canary')) === 'canary-0', 'the other leader', 60_000);
    await tells(route(main, 'own', 1), 1, BY_MAIN);
    await tells(route(canary, 'marked', 1), 1, BY_MAIN);
    await tells(route(canary, 'own', 1), 1, BY_CANARY);
    await tells(route(main, 'marked', 1), 1, BY_CANARY);
    for (const namespace of [main, canary])
      await until(async () => (await written(entry(namespace))).generation === 1, 'the status of an entry', 60_000);
    const bundle = await eventually(async () => (await written(webhook('default'))).bundle, 'a bundle');
    await until(async () => (await written(webhook('canary'))).bundle === bundle, 'the same bundle');
    for (const namespace of [main, canary]) await eventually(() => cluster.read(rootMap(namespace)), 'the root');
    await expectQuiet();
  }, 300_000);

  it('answer a change once, and change hands with a label', async () => {
    await cluster.put(route(main, 'own', 2));
    await cluster.put(route(canary, 'own', 2));
    await tells(route(main, 'own', 2), 2, BY_MAIN);
    await tells(route(canary, 'own', 2), 2, BY_CANARY);
    await cluster.put({
      ...{ apiVersion: 'v1', kind: 'Namespace' },
      metadata: { name: main, labels: { 'istio.io/rev': 'canary' } },
    });
    await tells(route(main, 'own', 2), 2, BY_CANARY);
    await expectQuiet();
    // The other goes: what was its own is left as it was, what the one serves is told of as before.
    await servers[0]?.stop();
    await cluster.put(route(main, 'own', 3));
    await tells(route(main, 'own', 3), 3, BY_CANARY);
    expect((await written(route(canary, 'marked', 1))).generation).toBe(1);
  }, 300_000);
});
