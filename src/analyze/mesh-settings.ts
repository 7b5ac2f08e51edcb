// Names that lead into the mesh configuration: providers of Telemetry and CUSTOM policies, registries of networks.

import type { AuthorizationPolicySpec, TelemetrySpec } from '../config/generated/types.ts';
import type { Finding } from '../config/object.ts';
import { type Analysis, on } from './analysis.ts';

/** Every mesh has it. */
const BUILT_IN: readonly string[] = ['prometheus', 'stackdriver', 'envoy'];

export function* providers(analysis: Analysis): Iterable<Finding> {
  const known = new Set([
    ...BUILT_IN,
    ...(analysis.snapshot.mesh.extensionProviders ?? []).map((provider) => provider.name ?? ''),
  ]);
  for (const telemetry of analysis.list<TelemetrySpec>('Telemetry')) {
    for (const field of ['accessLogging', 'metrics', 'tracing'] as const) {
      for (const [at, each] of (telemetry.spec[field] ?? []).entries()) {
        for (const [index, { name = '' }] of (each.providers ?? []).entries()) {
          if (!known.has(name))
            yield on(
              telemetry,
              'IST0157',
              `spec.${field}[${at}].providers[${index}].name`,
              `the mesh has no extension provider ${name}`,
            );
        }
      }
    }
  }
  for (const policy of analysis.list<AuthorizationPolicySpec>('AuthorizationPolicy')) {
    const { name = '' } = policy.spec.provider ?? {};
    if (name !== '' && !known.has(name))
      yield on(policy, 'IST0101', 'spec.provider.name', `the mesh has no extension provider ${name}`);
  }
}

export function* networkRegistries({ snapshot }: Analysis): Iterable<Finding> {
  const { networks } = snapshot.meshNetworks;
  for (const [network, { endpoints = [] }] of Object.entries(networks)) {
    for (const { fromRegistry } of endpoints) {
      if (fromRegistry === undefined || fromRegistry === snapshot.settings.clusterId) continue;
      yield {
        severity: 'error',
        code: 'IST0126',
        path: `networks.${network}.endpoints`,
        message: `registry ${fromRegistry} of network ${network} is no cluster that is known`,
        expected: snapshot.settings.clusterId,
      };
    }
  }
}

/** Namespaces that rules name and that are not there. Without any Namespace known there is nothing to tell. */
export function* sourceNamespaces(analysis: Analysis): Iterable<Finding> {
  const known = new Set(analysis.list('Namespace').map(({ name }) => name));
  if (known.size === 0) return;
  for (const policy of analysis.list<AuthorizationPolicySpec>('AuthorizationPolicy')) {
    for (const [at, rule] of (policy.spec.rules ?? []).entries()) {
      for (const [from, { source }] of (rule.from ?? []).entries()) {
        for (const [index, name] of (source?.namespaces ?? []).entries()) {
          if (!name.includes('*') && !known.has(name))
            yield on(
              policy,
              'IST0101',
              `spec.rules[${at}].from[${from}].source.namespaces[${index}]`,
              `there is no namespace ${name}`,
            );
        }
      }
    }
  }
}
