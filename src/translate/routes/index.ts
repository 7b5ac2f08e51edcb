// Routes of sidecars (RDS): one RouteConfiguration for each port, for each service whose protocol is sniffed on an address
// of its own, and for HTTP proxy and unix socket listeners.
// In: the scope of a class of proxies, what was made for it before. Out: drafts, and answers to further names.
// Called by ../index.ts. Rendering is memoised where it happens; here work is cut by comparing lists of what came out.

import type { Finding } from '../../config/object.ts';
import type { Draft } from '../../ir/draft.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { EgressListener, ScopedService } from '../../ir/traffic.ts';
import { compareStrings } from '../../lib/order.ts';
import { finish, type Steps } from '../../lib/steps.ts';
import { keepList, sameList } from '../../lib/table.ts';
import { proxyHeaders } from '../http/headers.ts';
import { addressingOf } from './domains.ts';
import { groupFindings, groupLosers, type LinkedGroup, linkGroup, onlyHost } from './linked-group.ts';
import { portGroup } from './listener-services.ts';
import { HTTP_PROXY_ROUTE, parseRouteName, portRouteName, type RouteName } from './names.ts';
import { namesOfServices, type ServiceNames } from './needed-names.ts';
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
  readonly needed: NeededNames;
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
  const needed = neededNames(scope, previous?.needed);
  for (const name of needed.names) {
    const draft = yield* draftFor(run, name);
    if (draft !== undefined) made.push(draft);
    yield;
  }
  const drafts = keepList(previous?.drafts, made);
  const groups = new Map(run.groups);
  // Without what was before: nobody needs it any more.
  const further: Run = { scope, groups: run.groups, before: groups, drafts: new Map() };
  return {
    drafts,
    // Made when somebody asks: losses of one host show up on every port.
    get findings(): readonly Finding[] {
      return [...new Set([...groups.values()].flatMap(groupFindings))];
    },
    routeFor: (name) => drafts.find((draft) => draft.name === name) ?? finish(draftFor(further, name)),
    inputs,
    groups,
    needed,
  };
}

interface NeededNames {
  /** Each once, sorted. */
  readonly names: readonly string[];
  /** Of the listener for everything. */
  readonly ofServices: ServiceNames | undefined;
}

/** The names that the class's listeners ask for. */
function neededNames({ proxyClass, mesh, egress }: Scope, before: NeededNames | undefined): NeededNames {
  const names = new Set<string>();
  const explicit: number[] = [];
  let ofServices: ServiceNames | undefined;
  for (const { port, bind, services, captureMode } of egress) {
    if (port === undefined) {
      const bound = bind !== '' || captureMode === 'NONE' || proxyClass.interception === 'NONE';
      const naming = { addressing: addressingOf(proxyClass, mesh), explicit: [...explicit], bound };
      ofServices = namesOfServices(naming, services, before?.ofServices);
      for (const name of ofServices.names) names.add(name);
      if (proxyClass.settings.httpProxyPort > 0 || mesh.proxyHttpPort > 0) names.add(HTTP_PROXY_ROUTE);
    } else if (bind.startsWith('unix://')) {
      names.add(bind);
    } else {
      explicit.push(port.number);
      names.add(portRouteName(port.number));
    }
  }
  return { names: [...names].sort(compareStrings), ofServices };
}

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
  const before = run.before?.get(key);
  const listed = listener?.services ?? NO_SERVICES;
  const inputs = {
    listed,
    group: portGroup(listed, port, before?.linked.inputs),
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
  const group = yield* linkGroup(inputs, attemptCount, before);
  groups.set(key, group);
  return group;
}

const NO_SERVICES: readonly ScopedService[] = [];

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
