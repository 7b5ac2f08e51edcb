import { describe, expect, it } from 'vitest';
import type { AccessLogging } from '../../../src/config/generated/types.ts';
import { parseMeshConfig } from '../../../src/config/mesh.ts';
import type { TelemetrySelection } from '../../../src/ir/policy.ts';
import type { ScopedService } from '../../../src/ir/traffic.ts';
import { smallTable } from '../../../src/lib/table.ts';
import type { ListenerRole } from '../../../src/translate/context.ts';
import { accessLogs } from '../../../src/translate/observability/access-log.ts';
import { meshProviders } from '../../../src/translate/observability/providers.ts';
import { telemetry } from '../../support/builders.ts';

type Json = Record<string, unknown>;
type Levels = { readonly [level in keyof TelemetrySelection]?: readonly AccessLogging[] };

const logs = {
  service: { hostname: 'logs.example.com', namespace: 'obs', ports: [1, 2, 3, 9000].map((number) => ({ number })) },
} as unknown as ScopedService;

const PROVIDERS = [
  { name: 'text', envoyFileAccessLog: { path: '/tmp/a', logFormat: { text: '%START_TIME%' } } },
  { name: 'json', envoyFileAccessLog: { path: '/tmp/b', logFormat: { labels: { m: '%CEL(request.method)%' } } } },
  { name: 'http', envoyHttpAls: { service: 'obs/logs.example.com', port: 1 } },
  {
    name: 'otel',
    envoyOtelAls: { service: 'logs.example.com', port: 2, logFormat: { text: 'x', labels: { k: 'v' } } },
  },
  { name: 'lost', envoyTcpAls: { service: 'gone.example.com', port: 3 } },
  { name: 'elsewhere', envoyTcpAls: { service: 'other/logs.example.com', port: 3 } },
];

function made(levels: Levels, role: ListenerRole = 'sidecar-outbound', mesh: Json = {}) {
  const config = parseMeshConfig({ extensionProviders: PROVIDERS, ...mesh }).mesh;
  const selection = Object.fromEntries(
    Object.entries(levels).map(([level, accessLogging]) => [level, telemetry(level, { accessLogging })]),
  );
  const providers = meshProviders(config, smallTable([['logs.example.com', logs]]));
  return accessLogs({ role, mesh: config, telemetry: selection, providers, dialect: 'classic', statsLogger: false });
}

/** `PATH` or `CLUSTER` of each logger, with its filter. */
function told(list: readonly unknown[] | undefined): readonly string[] {
  return ((list ?? []) as readonly { typedConfig: Json; filter?: unknown }[]).map(({ typedConfig, filter }) => {
    const cluster = /"clusterName":"([^"]+)"/.exec(JSON.stringify(typedConfig))?.[1];
    const text = JSON.stringify(filter) ?? '';
    const marks = [text.includes('"NR"') ? 'NR' : '', /"expression":"([^"]+)"/.exec(text)?.[1] ?? ''].filter(
      (mark) => mark,
    );
    const path = typedConfig['path'];
    return [typeof path === 'string' ? path : cluster, ...marks].join(' ');
  });
}

const by = (...names: readonly string[]): AccessLogging => ({ providers: names.map((name) => ({ name })) });

describe('which providers', () => {
  it.each<[string, Levels, readonly string[]]>([
    ['none without a word', {}, []],
    ['those named, by name', { mesh: [by('text', 'http')] }, ['outbound|1||logs.example.com', '/tmp/a']],
    ['those of the last level that names some', { mesh: [by('text')], namespace: [by('json')] }, ['/tmp/b']],
    ['none that a level switches off', { mesh: [by('text')], namespace: [{ disabled: true }] }, []],
    [
      'those of the level before, where only a filter is set',
      { mesh: [by('text')], workload: [{ disabled: false }] },
      ['/tmp/a'],
    ],
    [
      'those for this side',
      {
        mesh: [
          { ...by('text'), match: { mode: 'CLIENT' } },
          { ...by('json'), match: { mode: 'SERVER' } },
        ],
      },
      ['/tmp/a'],
    ],
    ['none whose service is not there', { mesh: [by('lost', 'elsewhere', 'unknown', 'text')] }, ['/tmp/a']],
  ])('%s', (_case, levels, expected) => {
    expect(told(made(levels).tcp)).toEqual(expected);
  });

  it('filters by expression, and on listeners by the missing route as well', () => {
    const { http, listener } = made({ mesh: [{ ...by('text'), filter: { expression: 'a' } }] });
    expect(told(http)).toEqual(['/tmp/a a']);
    expect(told(listener)).toEqual(['/tmp/a NR a']);
  });

  it('falls to the default providers, then to the log file of the mesh', () => {
    const defaults = { defaultProviders: { accessLogging: ['text'] }, accessLogFile: '/dev/stdout' };
    expect(told(made({}, 'sidecar-inbound', defaults).http)).toEqual(['/tmp/a']);
    expect(told(made({}, 'sidecar-inbound', { accessLogFile: '/dev/stdout' }).listener)).toEqual(['/dev/stdout NR']);
    expect(
      made({}, 'gateway', { accessLogFile: '/dev/stdout', disableEnvoyListenerLog: true }).listener,
    ).toBeUndefined();
  });

  it('keeps quiet where Telemetry asks for it, whatever the mesh says', () => {
    const mesh = { defaultProviders: { accessLogging: ['text'] } };
    const quiet = { namespace: [{ disabled: true, match: { mode: 'SERVER' as const } }] };
    expect(made(quiet, 'sidecar-inbound', mesh).http).toBeUndefined();
  });
});

describe('what they write', () => {
  const config = (name: string, mesh: Json = {}) =>
    made({ mesh: [by(name)] }, 'sidecar-outbound', mesh).http?.[0]?.typedConfig as unknown as Json;

  it('ends lines of text', () => {
    expect(config('text')['logFormat']).toEqual({ textFormatSource: { inlineString: '%START_TIME%\n' } });
  });

  it('brings the formatters that a format needs', () => {
    expect(config('json')['logFormat']).toMatchObject({
      jsonFormat: { m: '%CEL(request.method)%' },
      formatters: [{ name: 'envoy.formatter.cel' }],
    });
  });

  it('sends text and labels to OpenTelemetry', () => {
    expect(config('otel')).toMatchObject({
      body: { stringValue: 'x' },
      attributes: { values: [{ key: 'k', value: { stringValue: 'v' } }] },
      commonConfig: { logName: 'otel_envoy_accesslog', transportApiVersion: 'V3' },
    });
  });

  it('writes the fields of the mesh format, or the usual ones where it is no JSON', () => {
    const file = (accessLogFormat: string) => {
      const mesh = { accessLogFile: '/x', accessLogEncoding: 'JSON', accessLogFormat };
      const logger = made({}, 'gateway', mesh).http?.[0]?.typedConfig as unknown as { logFormat: { jsonFormat: Json } };
      return logger.logFormat.jsonFormat;
    };
    expect(file('{"d": "%DURATION%"}')).toEqual({ d: '%DURATION%' });
    expect(file('no json')).toMatchObject({ start_time: '%START_TIME%', route_name: '%ROUTE_NAME%' });
  });
});
