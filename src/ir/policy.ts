// Policies selected for a workload, in the order in which they are evaluated.

import type { ConfigObject } from '../config/object.ts';
import type {
  AuthorizationPolicySpec,
  EnvoyFilterSpec,
  IstioIngressListener,
  JWTRule,
  PeerAuthenticationSpec,
  RequestAuthenticationSpec,
  TelemetrySpec,
  TrafficExtensionSpec,
  WasmPluginSpec,
} from '../config/generated/types.ts';

export type MtlsMode = 'STRICT' | 'PERMISSIVE' | 'DISABLE';

/** The effective PeerAuthentication of a workload. */
export interface PeerAuthn {
  readonly mode: MtlsMode;
  /** By target port. */
  readonly portLevel: ReadonlyMap<number, MtlsMode>;
  /** The object of each level that took part, most specific first. */
  readonly sources: readonly ConfigObject<PeerAuthenticationSpec>[];
}

/** A JWT rule with its keys in `jwks` as far as they are known, or with where Envoy fetches them by itself. */
export interface LinkedJwtRule extends JWTRule {
  readonly remote?: { readonly uri: string; readonly hostname: string; readonly port: number } | undefined;
}

export type RequestAuthentication = ConfigObject<
  Omit<RequestAuthenticationSpec, 'jwtRules'> & { readonly jwtRules?: readonly LinkedJwtRule[] | undefined }
>;

export interface PolicySet {
  readonly peerAuthn: PeerAuthn;
  /** Root namespace and own namespace, those that select the workload, oldest first. */
  readonly authorization: readonly ConfigObject<AuthorizationPolicySpec>[];
  readonly requestAuthn: readonly RequestAuthentication[];
  readonly telemetry: TelemetrySelection;
  readonly envoyFilters: readonly ConfigObject<EnvoyFilterSpec>[];
  readonly wasmPlugins: readonly ConfigObject<WasmPluginSpec>[];
  readonly trafficExtensions: readonly ConfigObject<TrafficExtensionSpec>[];
}

/** At most one object of each level counts: the oldest. */
export interface TelemetrySelection {
  readonly mesh?: ConfigObject<TelemetrySpec> | undefined;
  readonly namespace?: ConfigObject<TelemetrySpec> | undefined;
  readonly workload?: ConfigObject<TelemetrySpec> | undefined;
}

export interface IngressListener {
  readonly spec: IstioIngressListener;
  readonly index: number;
}
