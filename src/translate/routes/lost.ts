// What VirtualServices lose to others within one RouteConfiguration, for findings and for the origins of resources.

import type { Finding } from '../../config/object.ts';
import type { Origin } from '../../ir/draft.ts';
import type { Settlement } from './settle.ts';

interface Loss {
  readonly origin: Origin;
  readonly host: string;
  readonly port: number;
}

/** Only whole hosts count: abbreviations of services give way to each other without anybody's doing. */
function lossesOf({ lost }: Settlement): readonly Loss[] {
  const losses = new Map<string, Loss>();
  for (const { claimed, domain } of lost) {
    const { claim, list } = claimed;
    const origin = list.origins.find((each) => each.kind === 'VirtualService');
    if (origin === undefined || domain !== claim.host) continue;
    losses.set(`${origin.namespace}/${origin.name}/${domain}`, { origin, host: domain, port: claim.port });
  }
  return [...losses.values()];
}

export function lostDomains(settlement: Settlement): readonly Finding[] {
  return lossesOf(settlement).map(({ origin: { kind, namespace, name }, host, port }) => ({
    severity: 'warning',
    code: 'MEL0050',
    ref: { kind, namespace, name },
    path: 'spec.hosts',
    message: `${host} has routes of an older object on port ${port}`,
  }));
}

export function lostOrigins(settlement: Settlement): readonly Origin[] {
  return lossesOf(settlement).map(({ origin, host }) => ({
    ...origin,
    field: 'spec.hosts',
    lost: `${host} has routes of an older object`,
  }));
}
