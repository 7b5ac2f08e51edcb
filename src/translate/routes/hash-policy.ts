// What a consistent hash is taken of: DestinationRule says it for a destination, Envoy wants it on the route.

import type { ConsistentHashLB, Destination, TrafficPolicy } from '../../config/generated/types.ts';
import type { DestinationRule } from '../../ir/traffic.ts';
import { protoDuration } from '../../lib/duration.ts';
import type { Messages } from '../../messages/index.ts';

type HashPolicy = Messages['envoy.config.route.v3.RouteAction.HashPolicy'];

/**
 * The hash of a destination that a VirtualService names, most specific first: port of the subset, subset, port, rule.
 * Ports count only where the destination names one, as the route is shared by all ports otherwise.
 */
export function destinationHash(
  rule: DestinationRule | undefined,
  destination: Destination,
): ConsistentHashLB | undefined {
  if (rule === undefined) return undefined;
  const port = destination.port?.number;
  const subset = rule.subsets.find((each) => (each.name ?? '') === (destination.subset ?? ''))?.trafficPolicy;
  return (
    portHash(subset, port) ?? policyHash(subset) ?? portHash(rule.trafficPolicy, port) ?? policyHash(rule.trafficPolicy)
  );
}

/** The hash of one port of a service without a VirtualService. */
export function serviceHash(rule: DestinationRule | undefined, port: number): ConsistentHashLB | undefined {
  return rule === undefined ? undefined : (portHash(rule.trafficPolicy, port) ?? policyHash(rule.trafficPolicy));
}

function policyHash(policy: TrafficPolicy | undefined): ConsistentHashLB | undefined {
  return policy?.loadBalancer?.consistentHash;
}

function portHash(policy: TrafficPolicy | undefined, port: number | undefined): ConsistentHashLB | undefined {
  if (port === undefined) return undefined;
  const settings = policy?.portLevelSettings?.find((each) => each.port?.number === port);
  return settings?.loadBalancer?.consistentHash;
}

export function hashPolicy(hash: ConsistentHashLB | undefined): HashPolicy | undefined {
  if (hash === undefined) return undefined;
  if (hash.httpHeaderName !== undefined) return { header: { headerName: hash.httpHeaderName } };
  if (hash.httpCookie !== undefined) {
    const { name, path, ttl, attributes = [] } = hash.httpCookie;
    return {
      cookie: {
        name,
        path: path === '' ? undefined : path,
        ttl: protoDuration(ttl),
        attributes:
          attributes.length === 0 ? undefined : attributes.map(({ name: key, value }) => ({ name: key, value })),
      },
    };
  }
  if (hash.useSourceIp !== undefined) return { connectionProperties: { sourceIp: hash.useSourceIp } };
  if (hash.httpQueryParameterName !== undefined) return { queryParameter: { name: hash.httpQueryParameterName } };
  return undefined;
}
