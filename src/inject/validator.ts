// The validation webhook: an AdmissionReview for one of our kinds in, allowed with warnings or refused with causes out.
// In: requests, and the validators that store and CLI use. Out: answers. Called by server/webhooks.ts.
// What is none of our kinds is allowed: nothing of anybody else's may fail because of this control plane.

import { base64OfText } from '../lib/base64.ts';
import { groupOf, lookUpKind, OWN_GROUPS } from '../config/kinds.ts';
import type { Finding } from '../config/object.ts';
import { parseKnown } from '../config/parse/index.ts';
import type { Validator } from '../config/validate/index.ts';
import type { Log, Meter } from '../lib/ports.ts';
import type { WebhookAnswer, WebhookRequest } from '../lib/webhook.ts';
import { type AdmissionRequest, answerOf, malformedAnswer, parseReview, type Verdict } from './review.ts';

export interface ValidatorPort {
  /** Made for admission: what is only pointless is refused as well. */
  readonly validate: Validator;
  readonly log: Log;
  readonly meter: Meter;
}

export function validationWebhook({ validate, log, meter }: ValidatorPort): (request: WebhookRequest) => WebhookAnswer {
  const labels = ['group', 'version', 'resource'];
  const passed = meter.counter('galley_validation_passed', 'Objects that were found to be valid.', labels);
  const failed = meter.counter('galley_validation_failed', 'Objects that were refused.', [...labels, 'reason']);
  const errors = meter.counter('galley_validation_http_error', 'Requests that were not understood.', ['status']);
  return (request) => {
    const parsed = parseReview(request);
    if ('malformed' in parsed) {
      errors.inc({ status: String(parsed.malformed.status) });
      return malformedAnswer(parsed.malformed);
    }
    const verdict = judge(parsed.request, validate);
    const resource = resourceOf(parsed.request);
    if (verdict.kind === 'allowed') passed.inc(resource);
    else {
      failed.inc({ ...resource, reason: 'invalid_resource' });
      log.info({ object: `${parsed.request.namespace}/${parsed.request.name}`, reason: verdict.message }, 'refused');
    }
    return answerOf(parsed.review, parsed.request, verdict, base64OfText);
  };
}

function judge({ operation, object, namespace }: AdmissionRequest, validate: Validator): Verdict {
  if (operation === 'DELETE' || operation === 'CONNECT' || object === undefined) return { kind: 'allowed' };
  const { apiVersion, kind } = object;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string' || !OWN_GROUPS.includes(groupOf(apiVersion)))
    return { kind: 'allowed' };
  const found = lookUpKind(apiVersion, kind);
  // A newer version of a definition, installed by somebody else: its own schema is its judge.
  if (found.kind !== 'known') {
    return {
      kind: 'allowed',
      warnings: [`${apiVersion} ${kind} is not known to this control plane and has no effect`],
    };
  }
  const parsed = parseKnown(object, apiVersion, found.info, { unknownFields: 'error', defaultNamespace: namespace });
  switch (parsed.kind) {
    case 'invalid':
      return refusal(kind, parsed.findings);
    case 'ignored':
      return { kind: 'allowed' };
    case 'object': {
      const findings = [...parsed.warnings, ...validate(parsed.object)];
      const isWrong = findings.some(({ severity }) => severity === 'error');
      return isWrong ? refusal(kind, findings) : { kind: 'allowed', warnings: warningsOf(findings) };
    }
  }
}

function refusal(kind: string, findings: readonly Finding[]): Verdict {
  const wrong = findings.filter(({ severity }) => severity === 'error');
  return {
    kind: 'refused',
    code: 422,
    message: `${kind} is not valid: ${wrong.map(formatFinding).join('; ')}`,
    causes: wrong.map((finding) => ({ field: finding.path ?? '', message: formatFinding(finding) })),
    warnings: warningsOf(findings),
  };
}

function warningsOf(findings: readonly Finding[]): readonly string[] {
  return findings.filter(({ severity }) => severity === 'warning').map(formatFinding);
}

/** `spec.http[0].timeout: is no duration: expected … (IST0106)` */
function formatFinding({ path, message, expected, code }: Finding): string {
  const at = path === undefined || path === '' ? '' : `${path}: `;
  return `${at}${message}${expected === undefined ? '' : `: expected ${expected}`} (${code})`;
}

function resourceOf({ object }: AdmissionRequest): Readonly<Record<string, string>> {
  const apiVersion = typeof object?.['apiVersion'] === 'string' ? object['apiVersion'] : '';
  const kind = typeof object?.['kind'] === 'string' ? object['kind'] : '';
  const found = lookUpKind(apiVersion, kind);
  // Kinds of others would make as many series as there are words.
  if (found.kind !== 'known') return { group: '', version: '', resource: '' };
  return {
    group: found.info.group,
    version: apiVersion.slice(apiVersion.lastIndexOf('/') + 1),
    resource: found.info.plural,
  };
}
