// What the charts make of the values that matter.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { entryName, injectorEntries, type WebhookConfiguration } from '../../src/cli/cluster/webhooks.ts';
import { CLUSTER_RULES, SYSTEM_RULES } from '../../src/controllers/rbac.ts';
import { hasHelm, lint, named, render } from './helm.ts';

const CHARTS = ['base', 'meltemi', 'gateway'];

const chartFile = (chart: string, name: string): string =>
  readFileSync(new URL(`../../charts/${chart}/${name}`, import.meta.url), 'utf8');

interface ValueSchema {
  readonly description?: string;
  readonly default?: unknown;
  readonly additionalProperties?: unknown;
  readonly properties?: Readonly<Record<string, ValueSchema>>;
}

describe.each(CHARTS)('values of %s', (chart) => {
  it('are all described, with their defaults', () => {
    const walk = (schema: ValueSchema, value: unknown, path: string): void => {
      if (path !== '') expect(schema.description, path).toMatch(/\w/);
      if (schema.properties === undefined || schema.additionalProperties !== false) {
        if (value !== undefined) expect(schema.default, path).toEqual(value);
        return;
      }
      const values = (value ?? {}) as Record<string, unknown>;
      for (const name of Object.keys(values)) expect(Object.keys(schema.properties), path).toContain(name);
      for (const [name, property] of Object.entries(schema.properties)) walk(property, values[name], `${path}.${name}`);
    };
    const schema = JSON.parse(chartFile(chart, 'values.schema.json')) as ValueSchema;
    const { properties = {} } = schema;
    const values: unknown = parse(chartFile(chart, 'values.yaml'));
    for (const [name, property] of Object.entries(properties))
      walk(property, (values as Record<string, unknown>)[name], name);
    expect(Object.keys(values as object).filter((name) => properties[name] === undefined)).toEqual([]);
  });
});

describe.skipIf(!hasHelm)('helm', () => {
  it.each(CHARTS)('lints %s', async (chart) => {
    expect(await lint(chart)).toContain('0 chart(s) failed');
  });

  it('refuses values that do not exist', async () => {
    await expect(render('meltemi', 'revison=b')).rejects.toThrow(/revison/);
    await expect(render('gateway', 'kind=StatefulSet')).rejects.toThrow(/kind/);
  });
});

describe.skipIf(!hasHelm)('charts/meltemi', () => {
  it('has istiod’s names and ports, so that proxies of either find it', async () => {
    const objects = await render('meltemi');
    const ports = [
      { name: 'grpc-xds', port: 15010, protocol: 'TCP' },
      { name: 'https-dns', port: 15012, protocol: 'TCP' },
      { name: 'https-webhook', port: 443, targetPort: 15017, protocol: 'TCP' },
      { name: 'http-monitoring', port: 15014, protocol: 'TCP' },
    ];
    expect(named(objects, 'Service')).toMatchObject({ metadata: { name: 'istiod' }, spec: { ports } });
    expect(named(objects, 'Deployment').metadata.name).toBe('istiod');
    expect(named(objects, 'MutatingWebhookConfiguration').metadata.name).toBe('istio-sidecar-injector');
    const mesh = named(objects, 'ConfigMap', 'istio')['data'] as { readonly mesh: string };
    expect(parse(mesh.mesh)).toMatchObject({ defaultConfig: { discoveryAddress: 'istiod.istio-system.svc:15012' } });
  });

  it('names everything of a revision after it', async () => {
    const objects = await render('meltemi', 'revision=b');
    for (const { kind, metadata } of objects) {
      expect(`${kind} ${metadata.name}`).toMatch(/-b\b/);
      if (metadata.annotations?.['helm.sh/hook'] === undefined)
        expect(metadata.labels?.['istio.io/rev'], metadata.name).toBe('b');
    }
    const webhooks = named(objects, 'MutatingWebhookConfiguration')['webhooks'] as readonly object[];
    expect(webhooks).toHaveLength(2);
    expect(webhooks[0]).toMatchObject({ clientConfig: { service: { name: 'istiod-b' } } });
  });

  it('shares no name between two revisions, nor between two namespaces where objects are the cluster’s', async () => {
    const ids = async (...values: string[]): Promise<string[]> =>
      (await render('meltemi', ...values)).map(
        ({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`,
      );
    const [first, second, elsewhere] = await Promise.all([
      ids(),
      ids('revision=b', 'revisionTags={prod}'),
      ids('global.istioNamespace=mesh'),
    ]);
    const all = [...first, ...second, ...elsewhere];
    expect(all.filter((id, i) => all.indexOf(id) !== i)).toEqual([]);
  });

  it.each([
    ['default', '', false],
    ['default', '', true],
    ['b', 'prod', false],
  ])('selects pods for %s as `meltemi tag` does (tag %s, injecting all: %s)', async (name, tag, auto) => {
    const objects = await render(
      'meltemi',
      `revision=${name === 'default' ? '' : name}`,
      `revisionTags={${tag}}`.replace('{}', 'null'),
      `sidecarInjectorWebhook.enableNamespacesByDefault=${auto}`,
    );
    const configuration = named(
      objects,
      'MutatingWebhookConfiguration',
      tag === '' ? undefined : `istio-revision-tag-${tag}`,
    );
    const entries = (configuration as unknown as WebhookConfiguration).webhooks ?? [];
    const selectors = entries.map((entry) => ({
      name: entry.name,
      namespaces: entry.namespaceSelector?.matchExpressions,
      pods: entry.objectSelector?.matchExpressions,
    }));
    const expected = injectorEntries(tag === '' ? name : tag, auto).map((entry) => ({
      ...entry,
      name: entryName(entry),
    }));
    expect(selectors).toEqual(expected);
  });

  it('allows what the control plane needs, and nothing more', async () => {
    const objects = await render('meltemi');
    expect(named(objects, 'ClusterRole', 'istiod-clusterrole-istio-system')['rules']).toEqual(CLUSTER_RULES);
    expect(named(objects, 'Role', 'istiod')['rules']).toEqual(SYSTEM_RULES);
  });

  it('says who a tag is', async () => {
    const objects = await render('meltemi', 'revision=b', 'revisionTags={prod}');
    const labels = { 'istio.io/tag': 'prod', 'istio.io/rev': 'b' };
    expect(named(objects, 'Service', 'istiod-revision-tag-prod').metadata.labels).toMatchObject(labels);
    expect(named(objects, 'MutatingWebhookConfiguration', 'istio-revision-tag-prod').metadata.labels).toMatchObject(
      labels,
    );
  });

  it('scales by itself or not, and keeps a budget only for several replicas', async () => {
    const kinds = async (...values: string[]): Promise<string[]> =>
      (await render('meltemi', ...values)).map(({ kind }) => kind);
    expect(await kinds()).not.toContain('PodDisruptionBudget');
    expect(await kinds('autoscaleMin=2')).toContain('PodDisruptionBudget');
    const fixed = await render('meltemi', 'autoscaleEnabled=false', 'replicaCount=3');
    expect(named(fixed, 'Deployment')['spec']).toMatchObject({ replicas: 3 });
    expect(fixed.map(({ kind }) => kind)).not.toContain('HorizontalPodAutoscaler');
  });

  it('gives the injector its templates and values', async () => {
    const objects = await render(
      'meltemi',
      'global.hub=example.com/mesh',
      'global.tag=v1',
      'sidecarInjectorWebhook.templates.mine=metadata: {}',
    );
    const data = named(objects, 'ConfigMap', 'istio-sidecar-injector')['data'] as Record<'config' | 'values', string>;
    const config = parse(data.config) as { readonly templates: Readonly<Record<string, string>> };
    expect(config.templates['mine']).toBe('metadata: {}');
    expect(JSON.parse(data.values)).toMatchObject({
      global: { hub: 'example.com/mesh', tag: 'v1', istioNamespace: 'istio-system' },
    });
    const [pod] = [named(objects, 'Deployment')['spec']] as [
      { template: { spec: { containers: { image: string }[] } } },
    ];
    expect(pod.template.spec.containers[0]?.image).toBe('example.com/mesh/meltemi:v1');
  });
});

describe.skipIf(!hasHelm)('charts/base', () => {
  it('keeps the definitions when it goes, and checks what names no revision', async () => {
    const objects = await render('base');
    const definitions = objects.filter(({ kind }) => kind === 'CustomResourceDefinition');
    expect(definitions).toHaveLength(15);
    for (const { metadata } of definitions) expect(metadata.annotations?.['helm.sh/resource-policy']).toBe('keep');
    expect(named(objects, 'ValidatingWebhookConfiguration').metadata.name).toBe('istiod-default-validator');
  });

  it('can leave out either', async () => {
    const objects = await render('base', 'crds.excluded={wasmplugins.extensions.istio.io}', 'defaultRevision=');
    expect(objects.map(({ kind }) => kind)).not.toContain('ValidatingWebhookConfiguration');
    expect(objects).toHaveLength(14);
  });
});

describe.skipIf(!hasHelm)('charts/gateway', () => {
  it('makes pods that wait to be injected', async () => {
    const objects = await render('gateway', 'name=istio-ingress', 'revision=b');
    expect(named(objects, 'Deployment')['spec']).toMatchObject({
      template: {
        metadata: {
          labels: { istio: 'ingress', 'sidecar.istio.io/inject': 'true', 'istio.io/rev': 'b' },
          annotations: { 'inject.istio.io/templates': 'gateway' },
        },
        spec: { containers: [{ name: 'istio-proxy', image: 'auto' }] },
      },
    });
  });

  it('runs on every node, or carries another network', async () => {
    const daemons = await render('gateway', 'kind=DaemonSet', 'networkGateway=west');
    expect(daemons.map(({ kind }) => kind)).not.toContain('HorizontalPodAutoscaler');
    expect(named(daemons, 'DaemonSet')['spec']).toMatchObject({
      template: { metadata: { labels: { 'topology.istio.io/network': 'west' } } },
    });
    const { ports } = named(daemons, 'Service')['spec'] as { readonly ports: readonly { readonly port: number }[] };
    expect(ports.map(({ port }) => port).sort()).toEqual([15012, 15017, 15021, 15443]);
  });
});
