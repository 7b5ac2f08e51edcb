import { describe, expect, it } from 'vitest';
import { createValidator } from '../../src/config/validate/index.ts';
import { validationWebhook } from '../../src/inject/validator.ts';
import { re2Checker } from '../../src/store/re2.ts';
import { patchValueProblems } from '../../src/translate/envoyfilter/patch.ts';
import { noMeter, quietLog } from '../sources/harness.ts';

const NETWORKING = 'networking.istio.io/v1';
const SECURITY = 'security.istio.io/v1';

const judge = validationWebhook({
  validate: createValidator({ regex: re2Checker(), decodePatch: patchValueProblems, admission: true }),
  log: quietLog,
  meter: noMeter,
});

interface Response {
  readonly allowed: boolean;
  readonly warnings?: readonly string[];
  readonly status?: {
    readonly message: string;
    readonly code: number;
    readonly details: { readonly causes: readonly { readonly field: string }[] };
  };
}

function ask(apiVersion: string, kind: string, spec: unknown, fields: object = {}): Response {
  const object = { apiVersion, kind, metadata: { name: 'x', namespace: 'shop' }, spec };
  const body = JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: { uid: 'u', operation: 'UPDATE', namespace: 'shop', name: 'x', object, ...fields },
  });
  const answer = judge({ path: '/validate', contentType: 'application/json; charset=utf-8', body });
  expect(answer.status).toBe(200);
  return (JSON.parse(answer.body) as { readonly response: Response }).response;
}

const route = { route: [{ destination: { host: 'web' } }] };

// For each kind something that is taken, and something that is refused, with the field.
describe('each kind', () => {
  it.each<[string, string, object, object, string]>([
    [
      NETWORKING,
      'VirtualService',
      { hosts: ['web'], http: [route] },
      { hosts: ['web'], http: [{ ...route, timeout: 'soon' }] },
      'spec.http[0].timeout',
    ],
    [
      NETWORKING,
      'DestinationRule',
      { host: 'web' },
      { host: 'web', subsets: [{ name: 'v1' }, { name: 'v1' }] },
      'spec.subsets[1].name',
    ],
    [
      NETWORKING,
      'Gateway',
      { servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }] },
      { servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' } }] },
      'spec.servers[0].hosts',
    ],
    [
      NETWORKING,
      'ServiceEntry',
      { hosts: ['a.example'], ports: [{ number: 80, name: 'http', protocol: 'HTTP' }], resolution: 'DNS' },
      { hosts: ['*'], ports: [{ number: 80, name: 'http' }] },
      'spec.hosts[0]',
    ],
    [NETWORKING, 'WorkloadEntry', { address: '1.2.3.4' }, {}, 'spec.address'],
    [NETWORKING, 'WorkloadGroup', { template: { serviceAccount: 'x' } }, { metadata: {} }, 'spec.template'],
    [
      NETWORKING,
      'Sidecar',
      { egress: [{ hosts: ['./*'] }] },
      { egress: [{ hosts: ['nonsense'] }] },
      'spec.egress[0].hosts[0]',
    ],
    [
      NETWORKING,
      'EnvoyFilter',
      { configPatches: [{ applyTo: 'CLUSTER', patch: { operation: 'REMOVE' } }] },
      { configPatches: [{ applyTo: 'CLUSTER', patch: { operation: 'MERGE', value: { lb_policy: 'NOPE' } } }] },
      'spec.configPatches[0].patch.value',
    ],
    [NETWORKING, 'ProxyConfig', { concurrency: 1 }, { concurrency: -1 }, 'spec.concurrency'],
    [
      SECURITY,
      'PeerAuthentication',
      { mtls: { mode: 'STRICT' } },
      { portLevelMtls: { 80: { mode: 'DISABLE' } } },
      'spec.portLevelMtls',
    ],
    [SECURITY, 'RequestAuthentication', { jwtRules: [{ issuer: 'i' }] }, { jwtRules: [{}] }, 'spec.jwtRules[0]'],
    [SECURITY, 'AuthorizationPolicy', { rules: [{}] }, { action: 'CUSTOM', rules: [{}] }, 'spec.provider'],
    [
      'telemetry.istio.io/v1',
      'Telemetry',
      { tracing: [{ randomSamplingPercentage: 5 }] },
      { tracing: [{ randomSamplingPercentage: 101 }] },
      'spec.tracing[0].randomSamplingPercentage',
    ],
    ['extensions.istio.io/v1alpha1', 'WasmPlugin', { url: 'oci://x.example/y:1' }, { url: 'ftp://x' }, 'spec.url'],
  ])('%s %s', (apiVersion, kind, good, bad, field) => {
    expect(ask(apiVersion, kind, good)).toMatchObject({ allowed: true });
    const { allowed, status } = ask(apiVersion, kind, bad);
    expect(allowed).toBe(false);
    expect(status?.code).toBe(422);
    expect(status?.message).toContain(`${kind} is not valid: `);
    expect(status?.details.causes.map((cause) => cause.field)).toContainEqual(expect.stringContaining(field));
  });

  it('says every mistake', () => {
    const { status } = ask(NETWORKING, 'VirtualService', {
      hosts: ['web', 'web'],
      http: [{ ...route, retries: { attempts: -1 } }],
    });
    expect(status?.details.causes.length).toBeGreaterThanOrEqual(2);
  });

  it('refuses fields that do not exist', () => {
    const { status } = ask(NETWORKING, 'VirtualService', { hosts: ['web'], http: [route], htp: [] });
    expect(status?.details.causes[0]?.field).toBe('spec.htp');
  });
});

describe('what is let pass', () => {
  it('with a warning: legal, yet doubtful', () => {
    const twice = { match: [{ uri: { prefix: '/' } }], ...route };
    const { allowed, warnings } = ask(NETWORKING, 'VirtualService', { hosts: ['web'], http: [twice, twice] });
    expect(allowed).toBe(true);
    expect(warnings?.[0]).toMatch(/^spec\.http\[1\].*IST\d+/);
    for (const text of warnings ?? []) expect(text.length).toBeLessThanOrEqual(250);
  });

  it("deletions, and others' objects", () => {
    expect(ask(NETWORKING, 'VirtualService', {}, { operation: 'DELETE' }).allowed).toBe(true);
    expect(ask('v1', 'ConfigMap', 5)).toEqual({ uid: 'u', allowed: true });
    expect(ask('gateway.networking.k8s.io/v1', 'HTTPRoute', {}).allowed).toBe(true);
  });

  it('kinds of our groups that are not known here, with a warning', () => {
    const { allowed, warnings } = ask('networking.istio.io/v2', 'VirtualService', {});
    expect(allowed).toBe(true);
    expect(warnings?.[0]).toContain('is not known to this control plane');
  });
});
