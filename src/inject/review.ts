// The envelope of admission.k8s.io/v1: what the API server asks a webhook, and how it is answered.
// In: the request of an HTTP server. Out: its answer. Called by injector.ts and validator.ts.

import type { WebhookAnswer, WebhookRequest } from '../lib/webhook.ts';
import type { PatchOperation } from './json-patch.ts';
import { isJson, type Json } from './pod.ts';

export interface AdmissionRequest {
  readonly uid: string;
  readonly operation: string;
  readonly namespace: string;
  readonly name: string;
  /** What shall be stored; undefined on deletion. */
  readonly object: Json | undefined;
}

export type Verdict =
  | {
      readonly kind: 'allowed';
      readonly patch?: readonly PatchOperation[] | undefined;
      readonly warnings?: readonly string[] | undefined;
    }
  | {
      readonly kind: 'refused';
      readonly message: string;
      /** HTTP status that the client of the API server sees. */
      readonly code: number;
      readonly causes?: readonly { readonly field: string; readonly message: string }[] | undefined;
      readonly warnings?: readonly string[] | undefined;
    };

/** What is wrong with a request as such, so that there is nothing to judge. */
export interface Malformed {
  readonly status: number;
  readonly message: string;
}

const VERSIONS = ['admission.k8s.io/v1', 'admission.k8s.io/v1beta1'];

export type Parsed = { readonly review: Json; readonly request: AdmissionRequest } | { readonly malformed: Malformed };

export function parseReview({ contentType, body }: WebhookRequest): Parsed {
  const malformed = (status: number, message: string): Parsed => ({ malformed: { status, message } });
  if (body === '') return malformed(400, 'the request has no body: expected an AdmissionReview');
  if (contentType?.split(';')[0]?.trim().toLowerCase() !== 'application/json')
    return malformed(415, `Content-Type ${contentType ?? ''} is not understood: expected application/json`);
  let review: unknown;
  try {
    review = JSON.parse(body);
  } catch {
    return malformed(400, 'the body is no JSON: expected an AdmissionReview');
  }
  if (!isJson(review) || review['kind'] !== 'AdmissionReview' || !VERSIONS.includes(String(review['apiVersion'])))
    return malformed(400, 'the body is no AdmissionReview of admission.k8s.io/v1');
  const { request } = review as { readonly request?: unknown };
  if (!isJson(request) || typeof request['uid'] !== 'string')
    return malformed(400, 'the AdmissionReview holds no request');
  const { object } = request as { readonly object?: unknown };
  const text = (key: string): string => (typeof request[key] === 'string' ? request[key] : '');
  return {
    review,
    request: {
      uid: request['uid'],
      operation: text('operation'),
      namespace: text('namespace'),
      name: text('name'),
      object: isJson(object) ? object : undefined,
    },
  };
}

export function malformedAnswer({ status, message }: Malformed): WebhookAnswer {
  return { status, contentType: 'text/plain; charset=utf-8', body: `${message}\n` };
}

/** The API server shows warnings to users; it cuts long ones, so they are cut here, at the end of what matters. */
const MAX_WARNING = 250;
const MAX_WARNINGS = 10;

/** `base64` is the patch's form on the wire. */
export function answerOf(
  review: Json,
  { uid }: AdmissionRequest,
  verdict: Verdict,
  base64: (text: string) => string,
): WebhookAnswer {
  const warnings = (verdict.warnings ?? []).slice(0, MAX_WARNINGS).map((text) => text.slice(0, MAX_WARNING));
  const response = {
    uid,
    allowed: verdict.kind === 'allowed',
    ...(warnings.length === 0 ? {} : { warnings }),
    ...(verdict.kind === 'refused' ? { status: statusOf(verdict) } : {}),
    ...(verdict.kind === 'allowed' && verdict.patch !== undefined && verdict.patch.length > 0
      ? { patchType: 'JSONPatch', patch: base64(JSON.stringify(verdict.patch)) }
      : {}),
  };
  const body = JSON.stringify({ apiVersion: review['apiVersion'], kind: 'AdmissionReview', response });
  return { status: 200, contentType: 'application/json', body };
}

function statusOf({ message, code, causes = [] }: Extract<Verdict, { kind: 'refused' }>): Json {
  return {
    status: 'Failure',
    message,
    reason: code === 422 ? 'Invalid' : 'Forbidden',
    code,
    ...(causes.length === 0
      ? {}
      : { details: { causes: causes.map((cause) => ({ reason: 'FieldValueInvalid', ...cause })) } }),
  };
}
