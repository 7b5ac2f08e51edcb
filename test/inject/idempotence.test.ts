import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonPatch } from '../../src/inject/json-patch.ts';
import type { Pod } from '../../src/inject/pod.ts';
import { applyPatch, configOf, inject, parsedPod, type Settings } from './support.ts';

const handler = fc.constantFrom(
  { httpGet: { path: '/x', port: 'http' } },
  { httpGet: { path: '/x', port: 15020 } },
  { httpGet: { path: '/x', port: 8080, scheme: 'HTTPS' } },
  { tcpSocket: { port: 8080 } },
  { grpc: { port: 9000 } },
  { exec: { command: ['true'] } },
);

const maybe = <T>(key: string, value: fc.Arbitrary<T>) =>
  fc.option(
    value.map((each) => ({ [key]: each })),
    { nil: {} },
  );

const container = (name: string) =>
  fc
    .tuple(
      maybe('readinessProbe', handler),
      maybe('livenessProbe', handler),
      maybe('startupProbe', handler),
      maybe('lifecycle', maybe('preStop', handler)),
      maybe('ports', fc.constant([{ name: 'http', containerPort: 8080 }])),
      maybe('env', fc.constant([{ name: 'A', value: '1' }])),
      maybe('volumeMounts', fc.constant([{ name: 'data', mountPath: '/data' }])),
    )
    .map((parts) => Object.assign({ name, image: `example.com/${name}:1` }, ...parts) as object);

const ownProxy = fc
  .tuple(
    fc.constantFrom('auto', 'example.com/proxy:1'),
    maybe('securityContext', fc.record({ runAsUser: fc.constantFrom(0, 2000) })),
    maybe('resources', fc.constant({ limits: { cpu: '1' } })),
    maybe(
      'env',
      fc.constant([
        { name: 'POD_NAME', value: 'mine' },
        { name: 'B', value: '2' },
      ]),
    ),
    maybe('args', fc.constant(['agent', 'sidecar'])),
    maybe('readinessProbe', handler),
    maybe('ports', fc.constant([{ name: 'own', containerPort: 7777 }])),
  )
  .map(([image, ...parts]) => Object.assign({ name: 'istio-proxy', image }, ...parts) as object);

const annotation = fc.constantFrom<[string, string]>(
  ['sidecar.istio.io/nativeSidecar', 'true'],
  ['sidecar.istio.io/interceptionMode', 'TPROXY'],
  ['sidecar.istio.io/interceptionMode', 'NONE'],
  ['inject.istio.io/templates', 'gateway'],
  ['inject.istio.io/templates', 'agentless'],
  ['inject.istio.io/templates', 'sidecar,extra'],
  ['prometheus.io/port', '9090'],
  ['prometheus.io/scrape', 'false'],
  ['prometheus.istio.io/merge-metrics', 'false'],
  ['sidecar.istio.io/rewriteAppHTTPProbers', 'false'],
  ['status.sidecar.istio.io/port', '16000'],
  ['sidecar.istio.io/userVolume', '{"u":{"emptyDir":{}}}'],
  ['proxy.istio.io/config', 'holdApplicationUntilProxyStarts: true'],
  ['kubectl.kubernetes.io/default-container', 'b'],
);

const pods = fc
  .record({
    annotations: fc.array(annotation, { maxLength: 4 }).map((pairs) => Object.fromEntries(pairs)),
    labels: fc.constantFrom({}, { app: 'web' }, { app: 'web', version: 'v1', 'topology.istio.io/network': 'n9' }),
    containers: fc.tuple(container('a'), container('b')),
    init: fc.option(container('prepare'), { nil: undefined }),
    proxy: fc.option(ownProxy, { nil: undefined }),
    first: fc.boolean(),
  })
  .map(({ annotations, labels, containers, init, proxy, first }): Pod => {
    const own = proxy === undefined ? [] : [proxy];
    return parsedPod({
      metadata: { name: 'web', annotations, labels },
      spec: {
        containers: first ? [...own, ...containers] : [...containers, ...own],
        ...(init === undefined ? {} : { initContainers: [init] }),
        volumes: [{ name: 'data', emptyDir: {} }],
      },
    });
  });

describe('injection', () => {
  const settings: Settings = {
    templates: {
      extra:
        'spec:\n  containers:\n  - name: a\n    env: [{ name: EXTRA, value: "{{ len .Spec.Containers }}" }]\n  - name: own\n    image: x:1\n',
    },
  };
  const config = configOf(settings);
  const ofKind = (result: ReturnType<typeof inject>): Pod => {
    if (result.kind === 'denied') throw new Error(result.problems.join());
    return result.pod;
  };

  it('done twice is injection done once, and its patch leads from the one to the other', () => {
    fc.assert(
      fc.property(pods, fc.boolean(), (pod, native) => {
        const once = ofKind(inject(pod, { ...settings, native }, config));
        expect(applyPatch(pod, jsonPatch(pod, once))).toEqual(once);
        expect(ofKind(inject(once, { ...settings, native }, config))).toEqual(once);
      }),
      { numRuns: 60 },
    );
  });

  it('keeps what others added to its containers in between', () => {
    const pod = parsedPod({ metadata: { name: 'web' }, spec: { containers: [{ name: 'a', image: 'a:1' }] } });
    const once = ofKind(inject(pod));
    const touched = {
      ...once,
      spec: {
        ...once.spec,
        containers: once.spec.containers.map((each) =>
          each.name === 'istio-proxy' ? { ...each, env: [...(each.env ?? []), { name: 'OTHER', value: '1' }] } : each,
        ),
      },
    };
    expect(ofKind(inject(touched))).toEqual(touched);
  });
});
