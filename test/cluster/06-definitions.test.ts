// The chart base in a cluster that has Istio's own definitions, made as Istio's chart makes them: left alone by default, replaced
// where that is asked for, and no object is lost either way. Runs in the cluster that the file before it has emptied.
import { readdirSync, readFileSync } from 'node:fs';
import type { V1CustomResourceDefinition, V1ValidatingWebhookConfiguration } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { apply, getJson, helm, kubectl, meltemi, ran, ROOT } from './support/run.ts';

const CRDS = `${ROOT}charts/base/files/crds/`;
const VALIDATOR = 'istiod-default-validator';
const IN_SYSTEM = ['-n', 'istio-system'];

/** As Helm and Istio's chart mark what is of the release `istio-base`. */
const ISTIOS = {
  labels: { 'app.kubernetes.io/managed-by': 'Helm', 'app.kubernetes.io/part-of': 'istio', release: 'istio' },
  annotations: {
    'helm.sh/resource-policy': 'keep',
    'meta.helm.sh/release-name': 'istio-base',
    'meta.helm.sh/release-namespace': 'istio-system',
  },
};

/** Of an older Istio: without a field that came later, and with other columns. */
function olderDefinitions(): object[] {
  return readdirSync(CRDS).map((file) => {
    const { apiVersion, kind, metadata, spec } = parse(readFileSync(CRDS + file, 'utf8')) as V1CustomResourceDefinition;
    for (const version of spec.versions) {
      version.additionalPrinterColumns = [{ name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }];
      if (spec.names.kind === 'VirtualService')
        delete version.schema?.openAPIV3Schema?.properties?.['spec']?.properties?.['exportTo'];
    }
    return { apiVersion, kind, metadata: { ...ISTIOS, name: metadata?.name ?? '' }, spec };
  });
}

const validator = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingWebhookConfiguration',
  metadata: { ...ISTIOS, name: VALIDATOR, labels: { ...ISTIOS.labels, 'istio.io/rev': 'default' } },
  webhooks: [],
};
const route = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name: 'web', namespace: 'shop' },
  spec: { hosts: ['a.example.com'], http: [{ route: [{ destination: { host: 'a' } }] }] },
};

interface Seen {
  readonly owners: readonly (string | undefined)[];
  readonly specs: readonly string[];
  readonly uids: readonly (string | undefined)[];
  readonly stored: readonly unknown[];
}

async function definitions(): Promise<Seen> {
  const { items } = await getJson<{ items: V1CustomResourceDefinition[] }>('crd');
  const own = items.filter(({ spec }) => spec.group.endsWith('.istio.io'));
  return {
    owners: [...new Set(own.map(({ metadata }) => metadata?.annotations?.['meta.helm.sh/release-name']))],
    specs: own.map(({ spec }) => stringify(spec)),
    uids: own.map(({ metadata }) => metadata?.uid),
    stored: own.map(({ status }) => status?.storedVersions),
  };
}

const ownerOfValidator = async (): Promise<string | undefined> =>
  (await getJson<V1ValidatingWebhookConfiguration>('validatingwebhookconfiguration', VALIDATOR)).metadata
    ?.annotations?.['meta.helm.sh/release-name'];

describe("the chart base over Istio's own definitions", () => {
  let before: Seen;
  let object: object;
  const theObject = () => getJson<object>('virtualservice', 'web', '-n', 'shop');

  beforeAll(async () => {
    for (const name of ['istio-system', 'shop']) await kubectl('create', 'namespace', name);
    await apply(...olderDefinitions(), validator);
    await kubectl('wait', '--for=condition=Established', 'crd', '-l', 'release=istio', '--timeout=60s');
    await apply(route);
    object = await theObject();
    before = await definitions();
  });

  afterAll(async () => {
    await ran('helm', ['uninstall', 'base', ...IN_SYSTEM]);
    await ran('kubectl', ['delete', 'validatingwebhookconfiguration', VALIDATOR, '--ignore-not-found']);
    const { items } = await getJson<{ items: V1CustomResourceDefinition[] }>('crd');
    const names = items.filter(({ spec }) => spec.group.endsWith('.istio.io')).map(({ metadata }) => metadata?.name);
    await kubectl('delete', 'crd', ...names.filter((name) => name !== undefined));
    await kubectl('delete', 'namespace', 'istio-system', 'shop');
  });

  it('leaves everything as it is, and check says what they lack', async () => {
    await helm('install', 'base', 'charts/base', ...IN_SYSTEM);
    expect(await definitions()).toEqual(before);
    expect(await ownerOfValidator()).toBe('istio-base');
    expect(await theObject()).toEqual(object);
    const { stdout } = await meltemi('check');
    expect(stdout).toMatch(/virtualservices\.networking\.istio\.io does not know exportTo/);
    expect(stdout).toContain('are not of the chart base');
  });

  it('refuses to take them without being told twice', async () => {
    const { code, stderr } = await ran('helm', ['upgrade', 'base', 'charts/base', ...IN_SYSTEM, ...TAKE]);
    expect(code).not.toBe(0);
    expect(stderr).toContain('invalid ownership metadata');
    expect(await definitions()).toEqual(before);
  });

  it('takes them where that is asked for, with every object as it was', async () => {
    await helm('upgrade', 'base', 'charts/base', ...IN_SYSTEM, ...TAKE, '--take-ownership');
    const after = await definitions();
    expect(after.owners).toEqual(['base']);
    expect(after.specs).not.toEqual(before.specs);
    expect({ uids: after.uids, stored: after.stored }).toEqual({ uids: before.uids, stored: before.stored });
    expect(await ownerOfValidator()).toBe('base');
    expect(await theObject()).toEqual(object);
    const { stdout } = await meltemi('check');
    expect(stdout).not.toMatch(/does not know|are not of the chart base/);
    // From here on they are the release's own: no value has to be said again.
    await helm('upgrade', 'base', 'charts/base', ...IN_SYSTEM);
    expect(await definitions()).toEqual(after);
  });

  it('leaves the definitions when it goes', async () => {
    await helm('uninstall', 'base', ...IN_SYSTEM);
    expect(await theObject()).toEqual(object);
  });
});

const TAKE = ['--set', 'crds.existing=take'];
