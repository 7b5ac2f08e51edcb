// Telemetry objects of the three levels as one list, and which entries speak to which side of a proxy.

import type { ProviderRef, TelemetryMatch, TelemetrySpec } from '../../config/generated/types.ts';
import type { TelemetrySelection } from '../../ir/policy.ts';
import type { ListenerRole } from '../context.ts';

/** Lowest level first: a later one overrides. */
export function telemetryLevels(selection: TelemetrySelection): readonly TelemetrySpec[] {
  return [selection.mesh, selection.namespace, selection.workload].flatMap((object) =>
    object === undefined ? [] : [object.spec],
  );
}

/** Gateways count as clients. */
export function matchesRole(match: TelemetryMatch | undefined, role: ListenerRole): boolean {
  const mode = match?.mode ?? 'CLIENT_AND_SERVER';
  return mode === 'CLIENT_AND_SERVER' || (mode === 'SERVER') === (role === 'sidecar-inbound');
}

export function providerNames(providers: readonly ProviderRef[] | undefined): readonly string[] {
  return (providers ?? []).flatMap((provider) => (provider.name === undefined ? [] : [provider.name]));
}
