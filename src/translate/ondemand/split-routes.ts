// RouteConfigurations whose virtual hosts travel one by one: a change of one is that one, and not all of its port.
// In: the RouteConfigurations of a class. Out: the same without virtual hosts, and these as resources of their own.
// Called by the plane. Nothing is asked for: Envoy starts the discovery of virtual hosts with all of a RouteConfiguration.

import { decodeShallow, encodeJson } from '../../codec/index.ts';
import type { Draft } from '../../ir/draft.ts';
import { memo } from '../../lib/memo.ts';
import { keepList } from '../../lib/table.ts';
import { draftOf, lazyDraftOf } from '../draft.ts';
import { hostsOf, routeFields, type VirtualHost } from '../routes/route-config.ts';

const ROUTE = 'envoy.config.route.v3.RouteConfiguration';
const HOST = 'envoy.config.route.v3.VirtualHost';

export interface SplitRoute {
  readonly shell: Draft;
  /** `ROUTE/NAME` */
  readonly hosts: readonly Draft[];
}

export interface SplitRoutes {
  /** What it was made from. */
  readonly source: readonly Draft[];
  /** Shells; and those that stay whole, since user-written patches went through them. */
  readonly routes: readonly Draft[];
  readonly byName: ReadonlyMap<string, SplitRoute>;
}

/** Of one class: `previous` was made for the same. */
export function splitRoutes(source: readonly Draft[], previous: SplitRoutes | undefined): SplitRoutes {
  if (previous?.source === source) return previous;
  const byName = new Map<string, SplitRoute>();
  const routes = source.map((draft) => {
    const hosts = hostsOf(draft);
    if (hosts === undefined) return draft;
    const before = previous?.byName.get(draft.name);
    const members = hosts.map((host) => member(host, `${draft.name}/${host.name}`));
    const shell = before?.shell ?? shellOf(draft.name);
    byName.set(draft.name, { shell, hosts: keepList(before?.hosts, members) });
    return shell;
  });
  return { source, routes: keepList(previous?.routes, routes), byName };
}

/** Envoy listens after this time where no virtual host has come; there is always one. */
const FIRST_FETCH = '5s';

function shellOf(name: string): Draft {
  const configSource = { ads: {}, resourceApiVersion: 'V3', initialFetchTimeout: FIRST_FETCH } as const;
  return draftOf(ROUTE, name, { ...routeFields(name), vhds: { configSource } }, []);
}

/** Envoy takes a virtual host away by the name that it has itself. Counted by tests: one run for each that changed. */
export const member = memo((host: VirtualHost, name: string): Draft => {
  const fields = decodeShallow(HOST, host.message.bytes);
  return lazyDraftOf(HOST, name, encodeJson(HOST, { ...fields, name }), () => host.origins);
});
