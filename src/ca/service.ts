// IstioCertificateService over gRPC: authenticate, authorise, sign, and say no with the right code.
// In: CreateCertificate calls; out: chains. Peers are told what is wrong with their request, never why they were not believed.
// server.ts adds `definition` and `handlers` to its TLS server.

import {
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  type ServiceDefinition,
  type StatusObject,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { decode, encode } from '../codec/index.ts';
import type { Messages } from '../messages/index.ts';
import type { Log, Meter } from '../lib/ports.ts';
import { authenticate } from './authenticate.ts';
import type { Authenticator } from './authenticators.ts';
import type { Authority } from './authority.ts';
import { type AuthenticatedCall, credentialsOf } from './credentials.ts';
import { attempt, type CaError, type CaErrorCode } from './errors.ts';

export type CertificateRequest = Messages['istio.v1.auth.IstioCertificateRequest'];
export type CertificateResponse = Messages['istio.v1.auth.IstioCertificateResponse'];

export interface CertificateService {
  readonly definition: ServiceDefinition;
  readonly handlers: UntypedServiceImplementation;
}

/** Tells a stranger nothing about which check failed. */
const OPAQUE = 'caller could not be authenticated';

/** The service, ready for `server.addService(definition, handlers)`. */
export function certificateService(
  authority: Pick<Authority, 'certify'>,
  authenticators: readonly Authenticator[],
  log: Log,
  meter: Meter,
): CertificateService {
  const scoped = log.child('ca');
  const counters = countersOf(meter);

  const answer = async (call: AuthenticatedCall & { readonly request: CertificateRequest }): Promise<Answer> => {
    counters.requests.inc();
    const credentials = credentialsOf(call);
    const peer = credentials.address;
    const decision = await authenticate(authenticators, credentials);
    const reason = decision.kind === 'refused' ? decision.reason : impersonationIn(call.request);
    if (decision.kind === 'refused' || reason !== undefined) {
      counters.unauthenticated.inc();
      if (decision.kind === 'refused' && decision.temporary === true) {
        scoped.warn({ peer, reason }, 'certificate request put off: the caller could not be looked up');
        return refusal(status.UNAVAILABLE, 'the caller could not be looked up, try again');
      }
      scoped.warn({ peer, reason }, 'certificate request refused: not authenticated');
      return refusal(status.UNAUTHENTICATED, OPAQUE);
    }
    const { identities } = decision.caller;
    const { csr = '', validityDuration = 0 } = call.request;
    const result = await attempt(() => authority.certify(csr, identities, Number(validityDuration)));
    if (result.ok) {
      counters.issued.inc();
      scoped.debug({ peer, identities, source: decision.caller.source }, 'certificate issued');
      return { ok: true, value: { certChain: result.value } };
    }
    const { code, error } = RIM[result.error.code];
    counters.refused.inc({ error });
    scoped.warn(
      { peer, identities, code: result.error.code, reason: result.error.message },
      'certificate request refused',
    );
    return refusal(code, textFor(code, result.error));
  };

  const respond = async (
    call: AuthenticatedCall & { readonly request: CertificateRequest },
    callback: sendUnaryData<CertificateResponse>,
  ): Promise<void> => {
    let result: Answer;
    try {
      result = await answer(call);
    } catch (error) {
      scoped.error({ err: error }, 'certificate request failed unexpectedly');
      result = refusal(status.INTERNAL, 'internal error');
    }
    if (result.ok) callback(null, result.value);
    else callback(result.status);
  };
  const createCertificate: handleUnaryCall<CertificateRequest, CertificateResponse> = (call, callback) => {
    void respond(call, callback);
  };
  return { definition: certificateServiceDefinition(), handlers: { CreateCertificate: createCertificate } };
}

type Answer =
  | { readonly ok: true; readonly value: CertificateResponse }
  | { readonly ok: false; readonly status: StatusObject };

function refusal(code: status, details: string): Answer {
  return { ok: false, status: { code, details, metadata: new Metadata() } };
}

/** What is wrong with the request is the caller's to know; what is wrong with the signer is the operator's. */
function textFor(code: status, error: CaError): string {
  return code === status.INVALID_ARGUMENT ? error.message : `certificate not issued: ${error.code}`;
}

/** Speaking for another workload needs a trusted node account; there are none here, so it is refused like a bad credential. */
function impersonationIn({ metadata = {} }: CertificateRequest): string | undefined {
  return 'ImpersonatedIdentity' in metadata ? 'impersonation asked for and not permitted' : undefined;
}

type MetricError = 'CSR_ERROR' | 'TTL_ERROR' | 'CA_NOT_READY' | 'CERT_GEN_ERROR';

const csrError = { code: status.INVALID_ARGUMENT, error: 'CSR_ERROR' } as const;
const generationError = { code: status.INTERNAL, error: 'CERT_GEN_ERROR' } as const;
const notReady = { code: status.INTERNAL, error: 'CA_NOT_READY' } as const;

/** Codes of this folder to gRPC and to the label of the error metric. */
const RIM: Readonly<Record<CaErrorCode, { readonly code: status; readonly error: MetricError }>> = {
  CSR_MALFORMED: csrError,
  CSR_TOO_LARGE: csrError,
  CSR_SIGNATURE_ALGORITHM: csrError,
  CSR_SIGNATURE_INVALID: csrError,
  KEY_TYPE_UNSUPPORTED: csrError,
  KEY_TOO_WEAK: csrError,
  SAN_NOT_ALLOWED: csrError,
  TTL_TOO_LONG: { code: status.INVALID_ARGUMENT, error: 'TTL_ERROR' },
  NOT_READY: notReady,
  BUNDLE_INCOMPLETE: notReady,
  BUNDLE_INVALID: notReady,
  ROOT_SWAP_REFUSED: notReady,
  STATE_DAMAGED: notReady,
  IDENTITY_INVALID: generationError,
  SIGNER_EXPIRED: generationError,
  SIGNING_FAILED: generationError,
};

function countersOf(meter: Meter) {
  return {
    requests: meter.counter('citadel_server_csr_count', 'Certificate requests received.'),
    unauthenticated: meter.counter(
      'citadel_server_authentication_failure_count',
      'Requests whose caller was not believed.',
    ),
    refused: meter.counter('citadel_server_csr_sign_err_count', 'Requests of known callers that were refused.', [
      'error',
    ]),
    issued: meter.counter('citadel_server_success_cert_issuance_count', 'Certificates issued.'),
  };
}

const REQUEST = 'istio.v1.auth.IstioCertificateRequest';
const RESPONSE = 'istio.v1.auth.IstioCertificateResponse';

/** What proto/istio/v1/auth/ca.proto says, by the messages generated of it: parsing it at each start took longer than all else here. */
export function certificateServiceDefinition(): ServiceDefinition {
  const CreateCertificate: MethodDefinition<CertificateRequest, CertificateResponse> = {
    path: '/istio.v1.auth.IstioCertificateService/CreateCertificate',
    requestStream: false,
    responseStream: false,
    requestSerialize: (request) => Buffer.from(encode(REQUEST, request)),
    requestDeserialize: (bytes) => decode(REQUEST, bytes),
    responseSerialize: (response) => Buffer.from(encode(RESPONSE, response)),
    responseDeserialize: (bytes) => decode(RESPONSE, bytes),
  };
  return { CreateCertificate };
}
