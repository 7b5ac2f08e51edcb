// Bookinfo in an injected namespace: sidecars everywhere, mutual TLS between them, an ingress gateway, rules and policies.
import type { V1Deployment, V1Pod } from '@kubernetes/client-node';
import { afterAll, describe, expect, it } from 'vitest';
import { type Answer, clientObjects, fetchFrom, fetchTimes, lineFrom } from './support/bookinfo.ts';
import { apply, getJson, helm, kubectl, meltemi, rolledOut, until } from './support/run.ts';

interface Page {
  readonly details: { readonly title?: string; readonly caller?: string; readonly failed?: string };
  readonly reviews: {
    readonly version?: string;
    readonly ratings?: { readonly stars?: number; readonly failed?: string };
  };
  readonly ledger: { readonly text?: string };
}

const HOST = { host: 'bookinfo.example.com' };
const INGRESS = 'http://ingress.istio-ingress/';
const NETWORKING = 'networking.istio.io/v1';

const page = async (): Promise<Page> =>
  JSON.parse((await fetchFrom('outside', INGRESS, { headers: HOST })).body) as Page;

describe('an injected namespace', () => {
  it('has sidecars that are ready in every pod', async () => {
    const { items } = await getJson<{ items: V1Pod[] }>('pods', '-n', 'bookinfo');
    expect(items.length).toBeGreaterThanOrEqual(8);
    for (const { metadata, spec, status } of items) {
      const names = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].map(({ name }) => name);
      expect(names, metadata?.name).toContain('istio-proxy');
      expect(status?.conditions?.find(({ type }) => type === 'Ready')?.status, metadata?.name).toBe('True');
    }
  });

  it('lets nothing in that does not prove who it is', async () => {
    const direct = await fetchFrom('outside', 'http://details.bookinfo:9080/');
    expect(direct.status).toBe(0);
    const inside = await fetchFrom('mesh', 'http://details:9080/');
    expect(JSON.parse(inside.body)).toMatchObject({ caller: 'spiffe://cluster.local/ns/bookinfo/sa/client' });
  });

  it('carries TCP too', async () => {
    expect(await lineFrom('mesh', 'ledger:7000')).toMatchObject({ text: expect.stringMatching(/^noted/) as string });
  });

  it('leaves other namespaces as they are', async () => {
    const { items } = await getJson<{ items: V1Pod[] }>('pods', '-n', 'outside');
    expect(items.flatMap(({ spec }) => spec?.containers.map(({ name }) => name))).toEqual(['app']);
  });
});

describe('the ingress gateway', () => {
  it('leads a request through the whole mesh', async () => {
    const answer = await until('the page has all its parts', async () => {
      const found = await page();
      return found.details.title === 'The Odyssey' && found.ledger.text?.startsWith('noted') === true && found;
    });
    expect(answer.details.caller).toBe('spiffe://cluster.local/ns/bookinfo/sa/productpage');
  });

  it('knows no other host', async () => {
    expect((await fetchFrom('outside', INGRESS, { headers: { host: 'other.example.com' } })).status).toBe(404);
  });
});

describe('rules', () => {
  const route = (...http: object[]): Promise<string> =>
    apply({
      apiVersion: NETWORKING,
      kind: 'VirtualService',
      metadata: { name: 'reviews', namespace: 'bookinfo' },
      spec: { hosts: ['reviews'], http },
    });
  const to = (subset: string, weight?: number): object => ({ destination: { host: 'reviews', subset }, weight });
  interface Review {
    readonly version?: string;
    readonly ratings?: { readonly stars?: number; readonly failed?: string };
  }
  const read = ({ body }: Answer): Review => JSON.parse(body) as Review;
  const reviews = async (): Promise<Review> => read(await fetchFrom('mesh', 'http://reviews:9080/'));

  afterAll(async () => {
    await kubectl('apply', '-f', 'samples/kubernetes/traffic.yaml');
  });

  it('split by weight', async () => {
    const versions = (await fetchTimes(60, 'mesh', 'http://reviews:9080/')).map((answer) => read(answer).version);
    expect(new Set(versions)).toEqual(new Set(['v1', 'v2']));
    expect(versions.filter((version) => version === 'v1').length).toBeGreaterThan(30);
  });

  it('move all traffic when they change, and ratings let reviews alone in', async () => {
    await route({ route: [to('v3')] });
    const answer = await until('reviews are of v3', async () => {
      const found = await reviews();
      return found.version === 'v3' && found;
    });
    expect(answer.ratings?.stars).toBe(5);
    const direct = await fetchFrom('mesh', 'http://ratings:9080/');
    expect(direct.status).toBe(403);
    expect(direct.body).toContain('RBAC');
  });

  it('make faults', async () => {
    const abort = { httpStatus: 418, percentage: { value: 100 } };
    await route(
      { match: [{ headers: { test: { exact: 'fault' } } }], fault: { abort }, route: [to('v1')] },
      { route: [to('v1')] },
    );
    await until('the fault shows', async () => {
      const { status } = await fetchFrom('mesh', 'http://reviews:9080/', { headers: { test: 'fault' } });
      return status === 418;
    });
    expect((await fetchFrom('mesh', 'http://reviews:9080/')).status).toBe(200);
  });
});

describe('a pod without an agent', () => {
  const [, deployment] = clientObjects('mesh') as [object, V1Deployment];
  const alone: V1Deployment = structuredClone(deployment);
  alone.metadata = { name: 'alone', namespace: 'bookinfo' };
  const labels = { app: 'alone' };
  if (alone.spec !== undefined) {
    alone.spec.selector = { matchLabels: labels };
    alone.spec.template.metadata = { labels, annotations: { 'inject.istio.io/templates': 'agentless' } };
    const [container] = alone.spec.template.spec?.containers ?? [];
    Object.assign(container ?? {}, {
      startupProbe: { tcpSocket: { port: 9080 }, periodSeconds: 1, failureThreshold: 60 },
      readinessProbe: { httpGet: { path: '/stats', port: 9080 } },
      livenessProbe: { tcpSocket: { port: 9080 } },
    });
  }

  afterAll(async () => {
    await kubectl('-n', 'bookinfo', 'delete', 'deployment', 'alone');
  });

  it('is Ready behind mutual TLS, by the probes that its Envoy answers', async () => {
    await apply(alone);
    await rolledOut('bookinfo', 'alone');
    const { items } = await getJson<{ items: V1Pod[] }>('pods', '-n', 'bookinfo', '-l', 'app=alone');
    const spec = items[0]?.spec;
    const all = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
    expect(all.find(({ name }) => name === 'istio-proxy')?.command).toEqual(['/usr/local/bin/envoy']);
    const app = all.find(({ name }) => name === 'app');
    expect(app?.startupProbe).toMatchObject({ httpGet: { path: '/app-health/app/startupz', port: 15020 } });
  });
});

describe('the install', () => {
  it('passes helm test', async () => {
    expect(await helm('test', 'istiod', '-n', 'istio-system', '--timeout=120s')).toContain('Succeeded');
  });

  it('is found in order by meltemi check', async () => {
    const { code, stdout, stderr } = await meltemi('check');
    expect(`${stdout}${stderr}`).toContain('Nothing is amiss');
    expect(code).toBe(0);
  });

  it('is allowed all that it does: its log has no refusal of the API server', async () => {
    const log = await kubectl('-n', 'istio-system', 'logs', '-l', 'app=istiod', '--tail=-1');
    expect(log.split('\n').filter((line) => /forbidden|"status":403/i.test(line))).toEqual([]);
  });
});
