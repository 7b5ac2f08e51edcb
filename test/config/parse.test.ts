import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FINDING_CODES } from '../../src/config/codes.ts';
import type { EndpointSliceBody, PodSpec, PodStatus, SecretBody, ServiceSpec } from '../../src/config/core.ts';
import { KINDS, writtenKind } from '../../src/config/kinds.ts';
import type { ConfigObject } from '../../src/config/object.ts';
import { parseDocument, type ParseOptions } from '../../src/config/parse/index.ts';
import { parseYaml } from '../../src/sources/yaml.ts';

const LOAD: ParseOptions = { unknownFields: 'warning' };

function objectOf<Spec = unknown, Status = unknown>(
  raw: unknown,
  options: ParseOptions = LOAD,
): ConfigObject<Spec, Status> {
  const [parsed] = parseDocument(raw, options);
  if (parsed?.kind !== 'object') throw new Error(`no object: ${JSON.stringify(parsed)}`);
  return parsed.object as ConfigObject<Spec, Status>;
}

function findingsOf(raw: unknown, options: ParseOptions = LOAD): [string, string, string | undefined][] {
  return parseDocument(raw, options).flatMap((parsed) => {
    const findings =
      parsed.kind === 'invalid' ? parsed.findings : parsed.kind === 'object' ? parsed.warnings : [parsed.finding];
    return findings.map((finding): [string, string, string | undefined] => [
      finding.severity,
      finding.code,
      finding.path,
    ]);
  });
}

describe('metadata', () => {
  it('projects what is used and drops copies and heartbeats', () => {
    const object = objectOf({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: {
        name: 'a',
        labels: { x: 'y' },
        annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', keep: 'me' },
        creationTimestamp: '2024-02-29T12:00:00Z',
        generation: 3,
        resourceVersion: '99',
        managedFields: [{}],
      },
    });
    expect(object).toEqual({
      kind: 'ServiceAccount',
      apiVersion: 'v1',
      namespace: 'default',
      name: 'a',
      labels: { x: 'y' },
      annotations: { keep: 'me' },
      created: 1709208000000,
      generation: 3,
      spec: {},
    });
  });

  it('gives cluster-scoped kinds no namespace, whatever is written', () => {
    expect(objectOf({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'n', namespace: 'x' } }).namespace).toBe('');
  });

  it('tells wrong names, labels and missing parts', () => {
    expect(
      findingsOf({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'Bad_Name', labels: { version: 1 } } }),
    ).toEqual([
      ['error', 'MEL0009', 'metadata.labels.version'],
      ['error', 'MEL0009', 'metadata.name'],
    ]);
    expect(findingsOf({ apiVersion: 'v1', kind: 'Pod', metadata: {} })).toEqual([
      ['error', 'MEL0009', 'metadata.name'],
    ]);
    expect(findingsOf({ kind: 'Pod' })).toEqual([['error', 'MEL0004', 'apiVersion']]);
    expect(findingsOf({ apiVersion: 'v1', kind: 3 })).toEqual([['error', 'MEL0004', 'kind']]);
    expect(findingsOf([1])).toEqual([['error', 'MEL0004', undefined]]);
    expect(findingsOf('text')).toEqual([['error', 'MEL0004', undefined]]);
    expect(parseDocument(undefined, LOAD)).toEqual([]);
  });
});

describe('kinds', () => {
  it('reads every version of a kind alike', () => {
    for (const version of ['v1', 'v1beta1', 'v1alpha3']) {
      const raw = { apiVersion: `networking.istio.io/${version}`, kind: 'Sidecar', metadata: { name: 's' }, spec: {} };
      expect(objectOf(raw).spec).toEqual({});
    }
    expect(findingsOf({ apiVersion: 'networking.istio.io/v9', kind: 'Sidecar', metadata: { name: 's' } })).toEqual([
      ['error', 'MEL0006', 'kind'],
    ]);
  });

  it('tells the kinds of one group from another of the same name', () => {
    const gateway = { kind: 'Gateway', metadata: { name: 'g' }, spec: { gatewayClassName: 'x' } };
    expect(findingsOf({ ...gateway, apiVersion: 'gateway.networking.k8s.io/v1' })).toEqual([
      ['info', 'MEL0014', undefined],
    ]);
    expect(objectOf({ ...gateway, apiVersion: 'gateway.networking.k8s.io/v1' })).toMatchObject({
      kind: 'KubernetesGateway',
      spec: { gatewayClassName: 'x' },
    });
    expect(findingsOf({ ...gateway, apiVersion: 'gateway.networking.k8s.io/v1', spec: [] })).toEqual([
      ['error', 'IST0106', 'spec'],
      ['info', 'MEL0014', undefined],
    ]);
    expect(findingsOf({ ...gateway, apiVersion: 'networking.istio.io/v1' })).toEqual([
      ['warning', 'MEL0008', 'spec.gatewayClassName'],
    ]);
  });

  it('has a body parser for each kind of the table', () => {
    for (const info of KINDS) {
      const { kind, group, versions } = info;
      const raw = {
        apiVersion: group === '' ? versions[0] : `${group}/${versions[0]}`,
        kind: writtenKind(info),
        metadata: { name: 'x' },
        spec: {},
      };
      const found = parseDocument(raw, LOAD)[0]?.kind;
      expect(found, kind).toMatch(/object|invalid/);
    }
  });

  it('opens lists, with the path of each item', () => {
    const list = {
      apiVersion: 'v1',
      kind: 'List',
      items: [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a' } }, null, { kind: 'x' }],
    };
    expect(parseDocument(list, LOAD).map((parsed) => [parsed.kind, parsed.root])).toEqual([
      ['object', ['items', 0]],
      ['invalid', ['items', 2]],
    ]);
    expect(findingsOf(list)).toEqual([['error', 'MEL0004', 'items[2].apiVersion']]);
  });
});

describe('Istio specs', () => {
  const vs = (spec: unknown) => ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'v' },
    spec,
  });

  it('normalises durations and second spellings, and drops nulls', () => {
    const object = objectOf(
      vs({
        hosts: ['a'],
        tls: null,
        http: [{ timeout: '1m30s', retries: { perTryTimeout: '250ms' }, mirror_percent: 5 }],
      }),
    );
    expect(object.spec).toEqual({
      hosts: ['a'],
      http: [{ timeout: '90s', retries: { perTryTimeout: '0.250s' }, mirrorPercent: 5 }],
    });
  });

  it('gives unknown fields the severity that is asked for', () => {
    const raw = vs({ hosts: ['a'], http: [{ rout: [] }] });
    expect(findingsOf(raw)).toEqual([['warning', 'MEL0008', 'spec.http[0].rout']]);
    expect(objectOf(raw).spec).toEqual({ hosts: ['a'], http: [{}] });
    expect(findingsOf(raw, { unknownFields: 'error' })).toEqual([['error', 'IST0106', 'spec.http[0].rout']]);
  });

  it('tells wrong types, enums, missing and exclusive fields by path', () => {
    expect(
      findingsOf(
        vs({
          hosts: 'a',
          http: [{ timeout: 'soon', route: [{ weight: 1.5 }], match: [{ uri: { exact: 'a', prefix: 'b' } }] }],
        }),
      ),
    ).toEqual([
      ['error', 'IST0106', 'spec.hosts'],
      ['error', 'IST0106', 'spec.http[0].timeout'],
      ['error', 'IST0106', 'spec.http[0].route[0].weight'],
      ['error', 'IST0106', 'spec.http[0].route[0].destination'],
      ['error', 'IST0106', 'spec.http[0].match[0].uri'],
    ]);
    const rule = {
      apiVersion: 'networking.istio.io/v1',
      kind: 'DestinationRule',
      metadata: { name: 'd' },
      spec: { host: 'a', trafficPolicy: { tls: { mode: 'TLS' } } },
    };
    expect(findingsOf(rule)).toEqual([['error', 'IST0106', 'spec.trafficPolicy.tls.mode']]);
  });

  it('keeps the values of EnvoyFilter patches as they are', () => {
    const value = { name: 'x', typed_config: { '@type': 'y', list: [null, 1, { timeout: '1m' }] } };
    const object = objectOf<{ configPatches: { patch: { value: unknown } }[] }>({
      apiVersion: 'networking.istio.io/v1alpha3',
      kind: 'EnvoyFilter',
      metadata: { name: 'e' },
      spec: { configPatches: [{ applyTo: 'CLUSTER', patch: { operation: 'MERGE', value } }] },
    });
    expect(object.spec.configPatches[0]?.patch.value).toEqual(value);
  });
});

describe('Kubernetes kinds', () => {
  it('projects services, with their defaults', () => {
    const object = objectOf<ServiceSpec>({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 's' },
      spec: { clusterIP: 'None', sessionAffinity: 'None', ports: [{ port: 80, targetPort: 'http' }] },
      status: { loadBalancer: { ingress: [{ ip: '1.2.3.4', ports: [] }] } },
    });
    expect(object.spec).toMatchObject({
      type: 'ClusterIP',
      clusterIPs: ['None'],
      ports: [{ name: '', port: 80, protocol: 'TCP', targetPort: 'http' }],
    });
    expect(object.status).toEqual({ ingress: [{ ip: '1.2.3.4' }] });
  });

  it('projects pods, native sidecars among their containers', () => {
    const object = objectOf<PodSpec, PodStatus>({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: {
        containers: [{ name: 'app', image: 'x', ports: [{ containerPort: 8080 }] }],
        initContainers: [
          { name: 'once' },
          { name: 'proxy', restartPolicy: 'Always', ports: [{ containerPort: 15090, name: 'p' }] },
        ],
      },
      status: {
        phase: 'Running',
        podIP: '10.0.0.1',
        conditions: [{ type: 'Ready', status: 'False', lastProbeTime: null }],
      },
    });
    expect(object.spec.containers.map(({ name, ports }) => [name, ports.length])).toEqual([
      ['app', 1],
      ['proxy', 1],
    ]);
    expect(object.spec.serviceAccountName).toBe('default');
    expect(object.status).toEqual({ phase: 'Running', podIPs: ['10.0.0.1'], ready: false });
  });

  it('projects slices and completes target references', () => {
    const object = objectOf<EndpointSliceBody>({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 's', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: null }, targetRef: { kind: 'Pod', name: 'p' } }],
      ports: null,
    });
    expect(object.spec).toMatchObject({
      serviceName: 'web',
      ports: [],
      endpoints: [{ addresses: ['10.0.0.1'], targetRef: { kind: 'Pod', namespace: 'shop', name: 'p' } }],
    });
  });

  it('encodes stringData and never shows a secret in a finding', () => {
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' } };
    expect(objectOf<SecretBody>({ ...secret, data: { a: 'aGVs\nbG8=' }, stringData: { b: 'grüß €😀' } }).spec).toEqual({
      type: 'Opaque',
      data: { a: 'aGVsbG8=', b: Buffer.from('grüß €😀').toString('base64') },
    });
    const [bad] = parseDocument({ ...secret, data: { key: 'no base64!' } }, LOAD);
    expect(bad?.kind).toBe('invalid');
    expect(JSON.stringify(bad)).not.toContain('no base64!');
  });

  it('tells a wrong type in a field', () => {
    expect(
      findingsOf({ apiVersion: 'v1', kind: 'Service', metadata: { name: 's' }, spec: { ports: [{ port: '80' }] } }),
    ).toEqual([['error', 'IST0106', 'spec.ports[0].port']]);
  });
});

describe('whatever is thrown at the parser', () => {
  it('never throws, and every finding has a code of the table', () => {
    const kinds = KINDS.map((info) => ({
      kind: writtenKind(info),
      apiVersion: info.group === '' ? 'v1' : `${info.group}/v1`,
    }));
    const hostile = fc.anything({ withNullPrototype: true, maxDepth: 4 });
    fc.assert(
      fc.property(fc.constantFrom(...kinds), hostile, hostile, hostile, (kind, metadata, spec, status) => {
        for (const raw of [
          { ...kind, metadata, spec, status },
          { ...kind, metadata: { name: 'a' }, spec, status },
          spec,
        ]) {
          for (const [severity, code] of findingsOf(raw)) {
            expect(['error', 'warning', 'info']).toContain(severity);
            expect(Object.keys(FINDING_CODES)).toContain(code);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('random text is a value or a problem with a position', () => {
    const yamlish = fc.array(
      fc.constantFrom(
        'a: ',
        '- ',
        '\n',
        '  ',
        '{',
        '}',
        '[',
        '&a ',
        '*a',
        '|',
        '"',
        "'",
        '#',
        '---',
        '<<: ',
        '!!x ',
        '\t',
        'é',
        '\u0000',
        ': ',
        '?',
      ),
      { maxLength: 40, size: 'max' },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          yamlish.map((parts) => parts.join('')),
        ),
        (text) => {
          const result = parseYaml(text);
          if (result.kind === 'problem') expect(result.at.line).toBeGreaterThan(0);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('prototypes stay as they are', () => {
    const raw = JSON.parse(
      '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"__proto__":"x","constructor":"y"}}',
    ) as unknown;
    const object = objectOf<{ data: Record<string, string> }>(raw);
    expect(Object.keys(object.spec.data).sort()).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(object.spec.data)).toBe(Object.prototype);
  });
});
