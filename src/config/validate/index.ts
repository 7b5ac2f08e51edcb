// Semantic validation: what the schema can't say. One file for each kind or family, each a chain of small pure checks.
// In: an object that conforms to its schema. Out: findings with paths. Errors mean "can't be served", warnings "is served".
// Called by the store on every change, by the webhook and by `validate`. Never throws.

import type { ConfigObject, Finding, Kind } from '../object.ts';
import { validatePeerAuthentication, validateRequestAuthentication } from './authentication.ts';
import { validateAuthorizationPolicy } from './authorization-policy.ts';
import { validateEndpointSlice, validatePod, validateService } from './core.ts';
import { validateDestinationRule } from './destination-rule.ts';
import { envoyFilterValidator, type PatchDecoder } from './envoy-filter.ts';
import { validateProxyConfig, validateTelemetry, validateTrafficExtension, validateWasmPlugin } from './extensions.ts';
import { validateGateway } from './gateway.ts';
import { collectingReport, faultFinding, type RegexChecker, type Report } from './report.ts';
import { validateServiceEntry } from './service-entry.ts';
import { validateSidecar } from './sidecar.ts';
import { validateVirtualService } from './virtual-service.ts';
import { validateWorkloadEntry, validateWorkloadGroup } from './workload.ts';

export type { PatchDecoder, PatchProblems } from './envoy-filter.ts';
export type { RegexChecker } from './report.ts';

export interface ValidatorOptions {
  /** RE2, as Envoy compiles patterns. */
  readonly regex: RegexChecker;
  /** True where objects are judged before they are applied: what is only pointless is refused then. */
  readonly admission?: boolean | undefined;
  /** Without it the values of EnvoyFilter patches are not looked into. */
  readonly decodePatch?: PatchDecoder | undefined;
}

export type Validator = (object: ConfigObject) => readonly Finding[];

type AnyValidator = (object: ConfigObject, report: Report) => void;

const NONE: readonly Finding[] = [];

export function createValidator(options: ValidatorOptions): Validator {
  const byKind = validatorsByKind(options);
  return (object) => {
    const validate = byKind[object.kind];
    if (validate === undefined) return NONE;
    const { report, findings } = collectingReport(object, options.regex, options.admission === true);
    try {
      validate(object, report);
    } catch (error) {
      return [...findings, faultFinding(object, error)];
    }
    return findings.length === 0 ? NONE : findings;
  };
}

/** The spec of an object conforms to the schema of its kind, which is what the types of the validators say. */
function validatorsByKind(options: ValidatorOptions): Partial<Record<Kind, AnyValidator>> {
  return {
    Service: validateService as AnyValidator,
    EndpointSlice: validateEndpointSlice as AnyValidator,
    Pod: validatePod as AnyValidator,
    VirtualService: validateVirtualService as AnyValidator,
    DestinationRule: validateDestinationRule as AnyValidator,
    Gateway: validateGateway as AnyValidator,
    ServiceEntry: validateServiceEntry as AnyValidator,
    WorkloadEntry: validateWorkloadEntry as AnyValidator,
    WorkloadGroup: validateWorkloadGroup as AnyValidator,
    Sidecar: validateSidecar as AnyValidator,
    EnvoyFilter: envoyFilterValidator(options.decodePatch) as AnyValidator,
    ProxyConfig: validateProxyConfig as AnyValidator,
    PeerAuthentication: validatePeerAuthentication as AnyValidator,
    RequestAuthentication: validateRequestAuthentication as AnyValidator,
    AuthorizationPolicy: validateAuthorizationPolicy as AnyValidator,
    Telemetry: validateTelemetry as AnyValidator,
    WasmPlugin: validateWasmPlugin as AnyValidator,
    TrafficExtension: validateTrafficExtension as AnyValidator,
  };
}
