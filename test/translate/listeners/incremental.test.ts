import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ConfigObject } from '../../../src/config/object.ts';
import { sharersOf } from '../../../src/translate/listeners/index.ts';
import { renderedTcp } from '../../../src/translate/listeners/outbound-message.ts';
import {
  destinationRule,
  endpointSlice,
  service,
  serviceEntry,
  sidecar,
  telemetry,
  virtualService,
} from '../../support/builders.ts';
import { withObjects, withoutObjects, world } from '../../support/snapshot-builders.ts';
import { type Listening, listening } from './support.ts';

const objects = [
  service('a', { clusterIPs: ['10.96.0.1'], ports: ['http:80', 'tcp:9000', 'x:9100'] }),
  service('b', { clusterIPs: ['10.96.0.2'], ports: ['http:80', 'tcp:9000'] }),
  service('db', { clusterIPs: ['None'], ports: ['tcp:5432'] }),
  endpointSlice('db', ['10.0.0.7'], { ports: ['tcp:5432'] }),
];

/** Names of the drafts that are other objects than before. */
function redrawn(before: Listening, after: Listening): readonly string[] {
  return after.drafts.filter((draft) => !before.drafts.includes(draft)).map((draft) => draft.name);
}

/** Names of the drafts of which the bytes are others than before. */
function rewritten(before: Listening, after: Listening): readonly string[] {
  const bytes = new Map(before.drafts.map((draft) => [draft.name, Buffer.from(draft.bytes).toString('hex')]));
  return after.drafts
    .filter((draft) => bytes.get(draft.name) !== Buffer.from(draft.bytes).toString('hex'))
    .map((draft) => draft.name);
}

describe('one change', () => {
  const start = world(objects);
  const before = listening(start);
  const after = (...changed: readonly ConfigObject[]) => listening(withObjects(start, ...changed), {}, before);

  it('of a service redraws the listeners that it is on', () => {
    const next = after(service('b', { clusterIPs: ['10.96.0.2'], ports: ['http:80', 'tcp:9000'], labels: { x: 'y' } }));
    expect(redrawn(before, next)).toEqual(['10.96.0.2_9000']);
    expect(rewritten(before, next)).toEqual([]);
  });

  it('of HTTP routes redraws nothing', () => {
    const routes = (weight: number) =>
      virtualService('a', {
        hosts: ['a'],
        http: [
          {
            route: [
              { destination: { host: 'a' }, weight },
              { destination: { host: 'b' }, weight: 100 - weight },
            ],
          },
        ],
      });
    const with10 = withObjects(start, routes(10));
    const first = listening(with10, {}, before);
    expect(redrawn(before, first)).toEqual([]);
    expect(redrawn(first, listening(withObjects(with10, routes(20)), {}, first))).toEqual([]);
  });

  it('of endpoints redraws listeners of headless services only', () => {
    const slice = endpointSlice('a', ['10.0.0.9'], { ports: ['http:80', 'tcp:9000', 'x:9100'] });
    expect(redrawn(before, after(slice))).toEqual([]);
    const grown = after(endpointSlice('db', ['10.0.0.7', '10.0.0.8'], { ports: ['tcp:5432'] }));
    expect(redrawn(before, grown)).toEqual(['10.0.0.8_5432']);
    const moved = listening(withObjects(start, endpointSlice('db', ['10.0.0.8'], { ports: ['tcp:5432'] })), {}, before);
    expect(moved.drafts.map((draft) => draft.name)).not.toContain('10.0.0.7_5432');
  });

  it('of a rule redraws the TCP listeners of its host', () => {
    const rule = destinationRule('a', { host: 'a', trafficPolicy: { connectionPool: { tcp: { idleTimeout: '9s' } } } });
    expect(rewritten(before, after(rule))).toEqual(['10.96.0.1_9000', '10.96.0.1_9100']);
  });

  it('of TCP routes redraws the listeners of their hosts', () => {
    const routes = virtualService('a', { hosts: ['a'], tcp: [{ route: [{ destination: { host: 'b' } }] }] });
    expect(rewritten(before, after(routes))).toEqual(['10.96.0.1_9000', '10.96.0.1_9100']);
  });

  it('of nothing gives the same object', () => {
    expect(listening(start, {}, before).outbound).toBe(before.outbound);
  });
});

describe('one more service on a port of any address', () => {
  const outside = (name: string) =>
    serviceEntry(name, {
      hosts: [`${name}.example`],
      resolution: 'STATIC',
      ports: [
        { number: 443, name: 'https', protocol: 'HTTPS' },
        { number: 7070, name: 'tcp', protocol: 'TCP' },
        { number: 9090, name: 'any' },
      ],
    });
  const start = world([outside('a'), outside('b')]);
  const before = listening(start);
  const runs = renderedTcp.counts.runs;
  const after = listening(withObjects(start, outside('c')), {}, before);
  const rendered = renderedTcp.counts.runs - runs;
  const draft = ({ drafts }: Listening, name: string) => drafts.find((each) => each.name === name);

  it('renders the chain of that service alone', () => {
    expect(rewritten(before, after)).toEqual(['0.0.0.0_443']);
    expect(rendered).toBe(1);
  });

  it('leaves the bytes where an older one has every connection, and says who lost', () => {
    for (const name of ['0.0.0.0_7070', '0.0.0.0_9090']) {
      expect(draft(after, name)?.bytes).toBe(draft(before, name)?.bytes);
      const all = [...(draft(after, name)?.origins ?? []), ...sharersOf(after.outbound, name)];
      const lost = all.filter((origin) => origin.lost !== undefined);
      expect(lost.map((origin) => origin.name)).toEqual(['b', 'c']);
    }
  });
});

it('shares TCP listeners between classes, and whole inbound listeners between pods', () => {
  const at = world([...objects, service('own', { selector: { app: 'own' }, namespace: 'other' })]);
  const tcp = (of: Listening) => of.drafts.find((draft) => draft.name === '10.96.0.2_9000');
  expect(tcp(listening(at, { namespace: 'other' }))).toBe(tcp(listening(at, {})));
  const inbound = (of: Listening) => of.drafts.find((draft) => draft.name === 'virtualInbound');
  const pod = (ip: string) => ({ ip, namespace: 'other', labels: { app: 'own' } });
  expect(inbound(listening(at, pod('10.0.0.1')))).toBe(inbound(listening(at, pod('10.0.0.2'))));
});

describe('after any changes', () => {
  const port = fc.constantFrom('http:80', 'tcp:9000', 'x:9100', 'https:443', 'mongo:9000', 'tcp:80');
  const address = fc.constantFrom('10.96.0.1', '10.96.0.2', 'None');
  const aService = fc
    .tuple(
      fc.constantFrom('a', 'b', 'c'),
      fc.uniqueArray(port, { minLength: 1, maxLength: 3, selector: (p) => p.split(':')[1] }),
      address,
      fc.integer({ min: 1, max: 3 }),
    )
    .map(([name, ports, ip, created]) => service(name, { ports, clusterIPs: [ip], created }));
  const others = fc.constantFrom<ConfigObject>(
    endpointSlice('a', ['10.0.0.7', '10.0.0.8'], { ports: ['http:80', 'tcp:9000', 'x:9100'] }),
    endpointSlice('b', ['10.0.0.7'], { ports: ['tcp:9000', 'tcp:80'] }),
    virtualService('tcp', {
      hosts: ['a'],
      tcp: [{ match: [{ port: 9000 }], route: [{ destination: { host: 'b' } }] }],
    }),
    virtualService('tls', {
      hosts: ['*.default.svc.cluster.local'],
      tls: [{ match: [{ sniHosts: ['x.y'] }], route: [{ destination: { host: 'c' } }] }],
    }),
    destinationRule('b', { host: 'b', trafficPolicy: { connectionPool: { tcp: { idleTimeout: '3s' } } } }),
    serviceEntry('cidr', {
      hosts: ['n.example.com'],
      addresses: ['10.1.0.0/16', '10.2.0.1'],
      ports: [{ number: 9000, name: 'tcp', protocol: 'TCP' }],
    }),
    sidecar('default', {
      egress: [
        { port: { number: 9000, protocol: 'TCP', name: 'tcp' }, hosts: ['./b.default.svc.cluster.local'] },
        { hosts: ['*/*'] },
      ],
    }),
    sidecar('default', { egress: [{ hosts: ['./*'] }], outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } }),
    telemetry('log', { accessLogging: [{ providers: [{ name: 'envoy' }] }] }),
  );
  const step = fc.tuple(fc.boolean(), fc.oneof(aService, others));

  it('warm and cold give the same bytes in the same order', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
        let at = world(objects);
        let warm = listening(at);
        for (const [put, object] of steps) {
          at = put ? withObjects(at, object) : withoutObjects(at, object);
          warm = listening(at, {}, warm);
        }
        const cold = listening(at);
        const shown = (of: Listening) => of.drafts.map(({ name, bytes }) => [name, Buffer.from(bytes).toString('hex')]);
        expect(shown(warm)).toEqual(shown(cold));
        expect(warm.drafts.map((draft) => draft.origins)).toEqual(cold.drafts.map((draft) => draft.origins));
        const sharers = ({ drafts, outbound }: Listening) => drafts.map(({ name }) => sharersOf(outbound, name));
        expect(sharers(warm)).toEqual(sharers(cold));
      }),
      { numRuns: 60 },
    );
  });
});
