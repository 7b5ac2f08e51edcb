import { describe, expect, it } from 'vitest';
import type { ProxyConfigSpec } from '../../src/config/generated/types.ts';
import { parseMeshConfig } from '../../src/config/mesh.ts';
import type { ConfigObject } from '../../src/config/object.ts';
import { proxyConfigFor } from '../../src/inject/proxy-config.ts';
import { parsedPod, YAML } from './support.ts';

const { mesh } = parseMeshConfig({ defaultConfig: { concurrency: 1, proxyMetadata: { A: 'mesh', B: 'mesh' } } });

const object = (
  namespace: string,
  name: string,
  spec: ProxyConfigSpec,
  created = 1,
): ConfigObject<ProxyConfigSpec> => ({
  kind: 'ProxyConfig',
  apiVersion: 'networking.istio.io/v1beta1',
  labels: {},
  annotations: {},
  generation: 1,
  namespace,
  name,
  spec,
  created,
});

const pod = (annotation?: string) =>
  parsedPod({
    metadata: {
      labels: { app: 'web' },
      annotations: annotation === undefined ? {} : { 'proxy.istio.io/config': annotation },
    },
    spec: { containers: [] },
  });

describe('the configuration of one proxy', () => {
  const root = object('istio-system', 'root', { concurrency: 2, environmentVariables: { B: 'root', C: 'root' } });
  const shop = object('shop', 'shop', { concurrency: 3, environmentVariables: { C: 'shop' } });
  const web = object('shop', 'web', { concurrency: 4, selector: { matchLabels: { app: 'web' } } });
  const other = object('shop', 'db', { concurrency: 5, selector: { matchLabels: { app: 'db' } } });
  const elsewhere = object('bank', 'bank', { concurrency: 6 });
  const all = [elsewhere, other, web, shop, root];
  const of = (objects: readonly ConfigObject<ProxyConfigSpec>[], annotation?: string) =>
    proxyConfigFor(pod(annotation), 'shop', mesh, objects, YAML);

  it('is of the mesh, of the root namespace, of the namespace, of the workload, of the pod: the nearest wins', () => {
    expect(of([]).concurrency).toBe(1);
    expect(of([root]).concurrency).toBe(2);
    expect(of([root, shop]).concurrency).toBe(3);
    expect(of(all).concurrency).toBe(4);
    expect(of(all, 'concurrency: 7').concurrency).toBe(7);
  });

  it('unites variables', () => {
    expect(of(all, 'proxyMetadata: { D: pod }').proxyMetadata).toEqual({ A: 'mesh', B: 'root', C: 'shop', D: 'pod' });
  });

  it('takes the oldest of several', () => {
    const newer = object('shop', 'a', { concurrency: 9 }, 2);
    expect(of([newer, shop]).concurrency).toBe(3);
  });
});
