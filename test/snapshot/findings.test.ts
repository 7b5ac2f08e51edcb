import { describe, expect, it } from 'vitest';
import { FINDING_CODES } from '../../src/config/codes.ts';
import type { ConfigObject } from '../../src/config/object.ts';
import {
  destinationRule,
  gateway,
  object,
  peerAuthentication,
  service,
  serviceEntry,
  sidecar,
  telemetry,
  virtualService,
} from '../support/builders.ts';
import { withObjects, world } from '../support/snapshot-builders.ts';

const found = (...objects: readonly ConfigObject[]) =>
  world(objects).snapshot.findings.map(
    (each) => `${each.code} ${each.ref?.kind}/${each.ref?.name} ${each.path}: ${each.message}`,
  );
const to = (host: string, subset?: string) => [{ destination: { host, ...(subset === undefined ? {} : { subset }) } }];
const web = service('web');
const secret = (name: string, data: Record<string, string>) =>
  object('Secret', name, { type: 'kubernetes.io/tls', data });
const edge = (tls: object) =>
  gateway('g', {
    servers: [
      { port: { number: 443, protocol: 'HTTPS', name: 'https' }, hosts: ['*'], tls: { mode: 'SIMPLE', ...tls } },
    ],
  });

describe('what is wrong between objects', () => {
  it.each<[string, readonly ConfigObject[], readonly string[]]>([
    ['nothing', [web, virtualService('v', { hosts: ['web'], http: [{ route: to('web') }] })], []],
    [
      'a Gateway that does not exist',
      [virtualService('v', { hosts: ['x'], gateways: ['mesh', 'gone'] })],
      ['IST0101 VirtualService/v spec.gateways[1]: there is no Gateway default/gone'],
    ],
    [
      'a delegate that does not exist',
      [virtualService('v', { hosts: ['x'], http: [{ delegate: { name: 'gone', namespace: 'n' } }] })],
      ['IST0101 VirtualService/v spec.http[0].delegate: there is no VirtualService n/gone to delegate to'],
    ],
    [
      'a delegate that has hosts',
      [
        virtualService('v', { hosts: ['x'], http: [{ delegate: { name: 'd' } }] }),
        virtualService('d', { hosts: ['y'] }),
      ],
      [
        'IST0101 VirtualService/v spec.http[0].delegate: VirtualService default/d has hosts, so nothing can be delegated to it',
      ],
    ],
    [
      'a delegate that is kept from the root',
      [
        virtualService('v', {
          hosts: ['x'],
          http: [{ route: to('web') }, { delegate: { name: 'd', namespace: 'n' } }],
        }),
        virtualService('d', { exportTo: ['.'] }, { namespace: 'n' }),
        web,
      ],
      ['IST0101 VirtualService/v spec.http[1].delegate: VirtualService n/d is not exported to namespace default'],
    ],
    [
      'destinations that nobody knows',
      [
        virtualService('v', {
          hosts: ['x'],
          http: [{ route: to('gone'), mirror: { host: 'a.example.com' } }],
          tcp: [{ route: to('db') }],
        }),
      ],
      [
        'IST0101 VirtualService/v spec.http[0].mirror: host a.example.com is not a known service',
        'IST0101 VirtualService/v spec.http[0].route[0].destination: host gone.default.svc.cluster.local is not a known service',
        'IST0101 VirtualService/v spec.tcp[0].route[0].destination: host db.default.svc.cluster.local is not a known service',
      ],
    ],
    [
      'a destination that a wildcard stands for',
      [
        virtualService('v', { hosts: ['x'], http: [{ route: to('a.example.com') }] }),
        serviceEntry('e', { hosts: ['*.example.com'], ports: [{ number: 80, name: 'http', protocol: 'HTTP' }] }),
      ],
      [],
    ],
    [
      'a subset that no rule has',
      [
        web,
        virtualService('v', { hosts: ['web'], http: [{ route: to('web', 'v1') }, { route: to('web', 'v2') }] }),
        destinationRule('d', { host: '*.local', subsets: [{ name: 'v1' }] }),
      ],
      [
        'IST0101 VirtualService/v spec.http[1].route[0].destination: no DestinationRule gives web.default.svc.cluster.local a subset v2',
      ],
    ],
    [
      'a rule for a host that nobody knows',
      [destinationRule('d', { host: 'gone' }), destinationRule('w', { host: '*.gone.com' })],
      ['IST0174 DestinationRule/d spec.host: host gone.default.svc.cluster.local is not a known service'],
    ],
    [
      'what a later rule loses',
      [
        web,
        destinationRule('a', { host: 'web', trafficPolicy: {}, subsets: [{ name: 'v1' }] }),
        destinationRule('b', { host: 'web', trafficPolicy: {}, subsets: [{ name: 'v2' }, { name: 'v1' }] }),
      ],
      [
        'MEL0200 DestinationRule/b spec.subsets[1]: subset v1 of web.default.svc.cluster.local is defined by an older rule',
        'MEL0200 DestinationRule/b spec.trafficPolicy: a already gives web.default.svc.cluster.local a traffic policy',
      ],
    ],
    [
      'a Secret that does not exist',
      [edge({ credentialName: 'cert' })],
      ['IST0101 Gateway/g spec.servers[0].tls.credentialName: there is no Secret cert'],
    ],
    [
      'a Secret without a key',
      [
        edge({ credentialNames: ['cert', 'kubernetes://default/other'] }),
        secret('cert', { 'tls.crt': '' }),
        secret('other', { cert: '', key: '' }),
      ],
      ['IST0161 Gateway/g spec.servers[0].tls.credentialNames[0]: Secret default/cert has no certificate with its key'],
    ],
    ['a credential from elsewhere', [edge({ credentialName: 'sds://x' })], []],
    [
      'objects that an older one overrules',
      [
        sidecar('a', {}),
        sidecar('b', {}),
        sidecar('c', { workloadSelector: { labels: { app: 'x' } } }),
        peerAuthentication('a', {}, { created: 2 }),
        peerAuthentication('b', {}, { created: 1 }),
        telemetry('a', {}),
        telemetry('b', {}),
        telemetry('b', {}, { namespace: 'other' }),
      ],
      [
        'MEL0201 PeerAuthentication/a spec: an older PeerAuthentication without selector applies: b',
        'IST0111 Sidecar/b spec: an older Sidecar without workloadSelector applies to the namespace: a',
        'MEL0202 Telemetry/b spec: an older Telemetry without selector applies: a',
      ],
    ],
  ])('%s', (_what, objects, expected) => {
    expect(found(...objects)).toEqual(expected);
  });

  it('goes away with its cause', () => {
    const before = world([virtualService('v', { hosts: ['x'], http: [{ route: to('web') }] })]);
    expect(before.snapshot.findings).toHaveLength(1);
    expect(withObjects(before, web).snapshot.findings).toEqual([]);
    expect(before.snapshot.findings).toHaveLength(1);
  });

  it('has codes of the table, with their severity', () => {
    for (const each of world([edge({ credentialName: 'c' }), sidecar('a', {}), sidecar('b', {})]).snapshot.findings) {
      const entry = FINDING_CODES[each.code as keyof typeof FINDING_CODES];
      expect(each.severity).toBe(entry.severity);
    }
  });
});
