// Routes of sidecars (RDS): one RouteConfiguration for each port, for each service whose protocol is sniffed on an address
// of its own, and for HTTP proxy and unix socket listeners.
// In: the scope of a class of proxies, what was made for it before. Out: drafts, and answers to further names.
// Called by ../index.ts. Rendering is memoised where it happens; here work is cut by comparing lists of what came out.

import type { Finding } from '../../config/object.ts';
import type { Draft } from '../../ir/draft.ts';
import type { MeshConfig } from '../../config/mesh.ts';
import type { ProxyClass } from '../../ir/proxy.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { EgressListener, ScopedService } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { compareStrings } from '../../lib/order.ts';
import { finish, type Steps } from '../../lib/steps.ts';
import { keepList, sameList } from '../../lib/table.ts';
import { proxyHeaders } from '../http/headers.ts';
import { addressingOf, hasVip } from './domains.ts';
import { groupFindings, groupLosers, type LinkedGroup, linkGroup, onlyHost } from './linked-group.ts';
import { carriesHttp, emptyGroup, groupsByPort, type PortGroup, wholeGroup } from './listener-services.ts';
import { HTTP_PROXY_ROUTE, parseRouteName, portRouteName, type RouteName, sniffedRouteName } from './names.ts';
import { catchAllHost, routeConfiguration, type VirtualHost } from './route-config.ts';

export interface OutboundRoutes {
  /** By name. */
  readonly drafts: readonly Draft[];
  /** Rules and hosts that VirtualServices lost. */
  readonly findings: readonly Finding[];
  /** The answer for any name that a sidecar may ask for; undefined for names that no listener can have. */
  routeFor(name: string): Draft | undefined;
  /** What the next run starts from. */
  readonly inputs: readonly unknown[];
  readonly groups: ReadonlyMap<string, LinkedGroup>;
}

export function outboundRoutes(scope: Scope, previous: OutboundRoutes | undefined): OutboundRoutes {
  return finish(outboundRoutesSteps(scope, previous));
}

/** The same in steps of some virtual hosts. */
export function* outboundRoutesSteps(scope: Scope, previous: OutboundRoutes | undefined): Steps<OutboundRoutes> {
  const { egress, services, mesh, outboundPolicy, proxyClass } = scope;
  const inputs = [egress, services, mesh.defaultHttpRetryPolicy, mesh.proxyHttpPort, outboundPolicy, proxyClass];
  if (previous !== undefined && sameList(previous.inputs, inputs)) return previous;
  const run: Run = {
    scope,
    groups: new Map(),
    before: previous?.groups,
    drafts: new Map(previous?.drafts.map((draft) => [draft.name, draft])),
  };
  const made: Draft[] = [];
  for (const name of neededNames(scope)) {
    const draft = yield* draftFor(run, name);
    if (draft !== undefined) made.push(draft);
    yield;
  }
  const drafts = keepList(previous?.drafts, made);
  const groups = new Map(run.groups);
  return {
    drafts,
    // Made when somebody asks: losses of one host show up on every port.
    get findings(): readonly Finding[] {
      return [...new Set([...groups.values()].flatMap(groupFindings))];
    },
    routeFor: (name) => drafts.find((draft) => draft.name === name) ?? finish(draftFor(run, name)),
    inputs,
    groups,
  };
}

/** The names that the class's listeners ask for, each once, sorted. */
function neededNames({ proxyClass, mesh, egress }: Scope): readonly string[] {
  const names = new Set<string>();
  const explicit: number[] = [];
  for (const { port, bind, services, captureMode } of egress) {
    if (port === undefined) {
      const bound = bind !== '' || captureMode === 'NONE' || proxyClass.interception === 'NONE';
      for (const name of namesOfServices(services, proxyClass, mesh, explicit.join(','), bound)) names.add(name);
      if (proxyClass.settings.httpProxyPort > 0 || mesh.proxyHttpPort > 0) names.add(HTTP_PROXY_ROUTE);
    } else if (bind.startsWith('unix://')) {
      names.add(bind);
    } else {
      explicit.push(port.number);
      names.add(portRouteName(port.number));
    }
  }
  return [...names].sort(compareStrings);
}

/** A port needs routes for all its services as soon as one of them is reached on the wildcard address. */
const namesOfServices = memo(
  (
    services: readonly ScopedService[],
    proxyClass: ProxyClass,
    mesh: MeshConfig,
    explicit: string,
    bound: boolean,
  ): ReadonlySet<string> => {
    const taken = new Set(explicit.split(',').map(Number));
    const addressing = addressingOf(proxyClass, mesh);
    const names = new Set<string>();
    for (const { service } of services) {
      if (service.resolution === 'Alias') continue;
      for (const port of service.ports) {
        if (!carriesHttp(port) || taken.has(port.number)) continue;
        const sniffed = port.protocol === 'AUTO';
        const vip = sniffed && (bound || hasVip(service, addressing));
        // A headless service is listened for on each of its endpoints.
        if (sniffed && (vip || service.headless)) names.add(sniffedRouteName(service.hostname, port.number));
        const own = vip || (sniffed && service.headless && service.registry === 'Kubernetes');
        if (!own) names.add(portRouteName(port.number));
      }
    }
    return names;
  },
);

/** One run over a scope: groups are linked when a name first needs them. */
interface Run {
  readonly scope: Scope;
  readonly groups: Map<string, LinkedGroup>;
  readonly before: ReadonlyMap<string, LinkedGroup> | undefined;
  readonly drafts: ReadonlyMap<string, Draft>;
}

function* draftFor(run: Run, name: string): Steps<Draft | undefined> {
  const parsed = parseRouteName(name);
  if (parsed === undefined) return undefined;
  const { attemptCount } = proxyHeaders(run.scope.proxyClass);
  const group = yield* linkedGroup(run, parsed);
  // On the own address of one service that service is meant, whatever the Host header says.
  if (parsed.kind === 'sniffed') {
    return routeConfiguration(name, onlyHost(group, parsed.hostname, attemptCount), [], run.drafts.get(name));
  }
  return routeConfiguration(name, withCatchAll(run.scope, group), groupLosers(group), run.drafts.get(name));
}

function withCatchAll(
  { outboundPolicy, proxyClass }: Scope,
  { hosts, settlement }: LinkedGroup,
): readonly VirtualHost[] {
  // A VirtualService for all hosts leaves nothing to the traffic policy; Envoy refuses a second `*`.
  if (settlement.wildcard) return hosts;
  const { attemptCount, forwardedHost } = proxyHeaders(proxyClass);
  return [...hosts, catchAllHost(outboundPolicy, attemptCount, forwardedHost, proxyClass.dialect)];
}

function* linkedGroup(run: Run, name: RouteName): Steps<LinkedGroup> {
  const { scope, groups } = run;
  const { egress, proxyClass, mesh, services } = scope;
  const listener = listenerFor(egress, name);
  const port = listener === undefined ? 0 : groupPort(listener, name);
  const key = `${listener === undefined ? 'none' : egress.indexOf(listener)}/${port}`;
  const known = groups.get(key);
  if (known !== undefined) return known;
  const { forwardedHost, attemptCount } = proxyHeaders(proxyClass);
  const inputs = {
    group: listener === undefined ? NO_SERVICES : groupOf(listener, port),
    virtualServices: listener?.virtualServices ?? [],
    proxyClass,
    addressing: addressingOf(proxyClass, mesh),
    defaults: {
      retries: mesh.defaultHttpRetryPolicy,
      forwardedHost,
      dialect: proxyClass.dialect,
      sessions: mesh.features?.persistentSessions === true,
    },
    services,
  };
  const group = yield* linkGroup(inputs, attemptCount, run.before?.get(key));
  groups.set(key, group);
  return group;
}

const NO_SERVICES: PortGroup = emptyGroup(0);

/** The egress listener that answers: the one with the port or socket, else the one for everything. */
function listenerFor(egress: readonly EgressListener[], name: RouteName): EgressListener | undefined {
  return egress.find((listener) => {
    if (listener.port === undefined) return true;
    if (name.kind === 'unix') return listener.bind === name.bind;
    return name.kind !== 'proxy' && !listener.bind.startsWith('unix://') && listener.port.number === name.port;
  });
}

/** 0 where the listener takes requests for every port. */
function groupPort(listener: EgressListener, name: RouteName): number {
  if (name.kind === 'proxy' || name.kind === 'unix') return 0;
  return listener.port?.protocol.toUpperCase() === 'HTTP_PROXY' ? 0 : name.port;
}

function groupOf(listener: EgressListener, port: number): PortGroup {
  return port === 0 ? wholeGroup(listener.services) : (groupsByPort(listener.services).get(port) ?? emptyGroup(port));
}
