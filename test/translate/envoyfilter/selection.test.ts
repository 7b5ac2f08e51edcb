import { describe, expect, it } from 'vitest';
import type { EnvoyConfigObjectPatch } from '../../../src/config/generated/types.ts';
import type { ConfigObject } from '../../../src/config/object.ts';
import { createValidator } from '../../../src/config/validate/index.ts';
import { patchValueProblems } from '../../../src/translate/envoyfilter/patch.ts';
import { service } from '../../support/builders.ts';
import { type ProxyOptions, world } from '../../support/snapshot-builders.ts';
import { clusterDrafts, filter, findingsOf, messageOf, sent } from './support.ts';

const web = service('web', { ports: ['http:80'], clusterIPs: ['10.96.0.1'] });
const WEB = 'outbound|80||web.default.svc.cluster.local';
const ROOT = 'istio-system';

/** A patch that adds its mark to those of the others, so that their order can be read. */
function mark(text: string, match: Partial<EnvoyConfigObjectPatch['match']> = {}): EnvoyConfigObjectPatch {
  return {
    applyTo: 'CLUSTER',
    match: { context: 'SIDECAR_OUTBOUND', cluster: { name: WEB }, ...match },
    patch: { operation: 'MERGE', value: { health_checks: [{ alt_port: text.length, event_log_path: text }] } },
  } as EnvoyConfigObjectPatch;
}

function marks(objects: readonly ConfigObject[], options: ProxyOptions = {}): string {
  const checks = messageOf(clusterDrafts(sent(world([web, ...objects]), options)), WEB)['healthChecks'] ?? [];
  return (checks as readonly { readonly eventLogPath: string }[]).map((check) => check.eventLogPath).join(' ');
}

describe('which EnvoyFilters, in which order', () => {
  it('takes those of the root namespace and of the own one', () => {
    const objects = [
      filter([mark('other')], { namespace: 'other' }),
      filter([mark('own')]),
      filter([mark('root')], { namespace: ROOT }),
    ];
    expect(marks(objects)).toBe('root own');
  });

  it('goes by priority, then namespace, then age, then name; and within an object as written', () => {
    const objects = [
      filter([mark('late')], { name: 'late', priority: 10, namespace: ROOT }),
      filter([mark('b1'), mark('b2')], { name: 'b', created: 2 }),
      filter([mark('a')], { name: 'a', created: 2 }),
      filter([mark('old')], { name: 'z', created: 1 }),
      filter([mark('root')], { name: 'root', created: 9, namespace: ROOT }),
      filter([mark('early')], { name: 'early', priority: -1 }),
    ];
    expect(marks(objects)).toBe('early root old a b1 b2 late');
    expect(marks(objects.toReversed())).toBe('early root old a b1 b2 late');
  });

  it('takes those that select the workload', () => {
    const objects = [
      filter([mark('web')], { name: 'w', selector: { app: 'web' } }),
      filter([mark('all')], { name: 'z' }),
    ];
    expect(marks(objects, { labels: { app: 'web' } })).toBe('web all');
    expect(marks(objects, { labels: { app: 'api' } })).toBe('all');
  });

  it.each<[string, string | undefined, boolean]>([
    ['^1\\.32.*', '1.32.0', true],
    ['^1\\.32.*', '1.31.9', false],
    ['32', '1.32.0', true],
    ['^1\\.32.*', undefined, false],
    ['.*', undefined, false],
    ['(', '1.32.0', false],
    [`${'a'.repeat(1025)}|.*`, '1.32.0', false],
  ])('version %s against %s', (proxyVersion, version, applies) => {
    const metadata = version === undefined ? {} : { ISTIO_VERSION: version };
    expect(marks([filter([mark('x', { proxy: { proxyVersion } })])], { metadata })).toBe(applies ? 'x' : '');
  });

  it('compares metadata as it came', () => {
    const objects = [filter([mark('x', { proxy: { metadata: { TEAM: 'a', RACK: '1' } } })])];
    expect(marks(objects, { metadata: { TEAM: 'a', RACK: '1' } })).toBe('x');
    expect(marks(objects, { metadata: { TEAM: 'a' } })).toBe('');
    expect(marks(objects, { metadata: { TEAM: 'a', RACK: 1 } })).toBe('');
  });

  it('has nothing for waypoints, nor for the bootstrap', () => {
    const bootstrap = { applyTo: 'BOOTSTRAP', patch: { operation: 'MERGE', value: {} } } as const;
    expect(marks([filter([mark('x', { context: 'WAYPOINT' }), bootstrap, mark('y')])])).toBe('y');
  });
});

describe('patches that can not be used', () => {
  const bad: EnvoyConfigObjectPatch = {
    applyTo: 'CLUSTER',
    match: { context: 'SIDECAR_OUTBOUND' },
    patch: { operation: 'MERGE', value: { connect_timeout: 'soon' } },
  };
  const unknownType: EnvoyConfigObjectPatch = {
    applyTo: 'HTTP_FILTER',
    match: { context: 'SIDECAR_OUTBOUND' },
    patch: {
      operation: 'INSERT_FIRST',
      value: { name: 'x', typed_config: { '@type': 'type.googleapis.com/no.such.Type' } },
    },
  };

  it('are left out alone', () => {
    expect(marks([filter([mark('x'), bad, unknownType, mark('y')])])).toBe('x y');
  });

  it('are named when the object comes in, and do not keep it out', () => {
    const validate = createValidator({ regex: () => undefined, decodePatch: patchValueProblems });
    const findings = validate(filter([mark('x'), bad, unknownType]));
    expect(findings.map(({ severity, code, path, message }) => [severity, code, path, message])).toEqual([
      [
        'warning',
        'MEL0060',
        'spec.configPatches[1].patch.value',
        'connect_timeout has to be a duration such as "1.5s"',
      ],
      [
        'warning',
        'MEL0060',
        'spec.configPatches[2].patch.value',
        'typed_config.@type has to be a known message type, not no.such.Type',
      ],
    ]);
  });

  it('are told of fields that the message does not have', () => {
    const validate = createValidator({ regex: () => undefined, decodePatch: patchValueProblems });
    const cluster = {
      applyTo: 'CLUSTER' as const,
      patch: {
        operation: 'MERGE' as const,
        value: { connect_timeot: '3s', lb_policy: 'RANDOM', circuit_breakers: { treshold: [] } },
      },
    };
    const findings = validate(filter([mark('x'), cluster]));
    const at = 'spec.configPatches[1].patch.value';
    expect(findings.map(({ severity, code, path }) => [severity, code, path])).toEqual([
      ['warning', 'MEL0008', `${at}.connect_timeot`],
      ['warning', 'MEL0008', `${at}.circuit_breakers.treshold`],
    ]);
  });

  it('are those with fields that nobody knows only where these are all there is', () => {
    const newer = mark('x');
    const value = { ...newer.patch?.value, a_field_of_next_year: 1 };
    expect(marks([filter([{ ...newer, patch: { ...newer.patch, value } }])])).toBe('x');
  });

  it('are said of the resource that they do not fit', () => {
    const socket = {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
        require_sni: true,
      },
    };
    const wrong = { ...mark('x'), patch: { operation: 'MERGE', value: { transport_socket: socket } } } as const;
    const result = sent(world([web, filter([mark('x'), wrong])]));
    expect(findingsOf(result)).toEqual([
      expect.stringMatching(
        /^MEL0061 spec\.configPatches\[1\] .*cluster outbound\|80\|\|web.* not .*DownstreamTlsContext/,
      ),
    ]);
    expect(messageOf(clusterDrafts(result), WEB)['healthChecks']).toHaveLength(1);
  });
});
