// Which match clauses of a VirtualService apply on one listener of one class of proxies.
// In: the clause's port, gateways and source; out: a text with one letter for each clause, equal for all listeners and
// classes for which the same clauses apply, so that they share the rendered routes.

import type { HTTPMatchRequest } from '../../config/generated/types.ts';
import type { VirtualService } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';

export interface Audience {
  /** `mesh` or the gateway's `NAMESPACE/NAME`. */
  readonly gateway: string;
  readonly port: number;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Letters of the result. */
export const APPLIES = '+';
const SKIPPED = '-';

/** The result where no clause of the VirtualService looks at its audience: all apply. */
export const ALL_APPLY = '*';

const unconditional = memo((node: VirtualService): boolean =>
  node.http.every((rule) => (rule.match ?? []).every((match) => !looksAtAudience(match))),
);

function looksAtAudience(match: HTTPMatchRequest): boolean {
  const { port = 0, gateways = [] } = match;
  return port !== 0 || gateways.length > 0 || isForSource(match);
}

/** Some clause is for clients of one namespace, or with some labels. */
export function asksForSource({ http }: VirtualService): boolean {
  return http.some((rule) => (rule.match ?? []).some(isForSource));
}

function isForSource({ sourceLabels = {}, sourceNamespace = '' }: HTTPMatchRequest): boolean {
  return sourceNamespace !== '' || Object.keys(sourceLabels).length > 0;
}

/** One letter for each match clause in order, and one for each rule without any. */
export function applicableClauses(node: VirtualService, audience: Audience): string {
  if (unconditional(node)) return ALL_APPLY;
  let letters = '';
  for (const rule of node.http) {
    const matches = rule.match ?? [];
    if (matches.length === 0) letters += APPLIES;
    for (const match of matches) letters += applies(match, audience) ? APPLIES : SKIPPED;
  }
  return letters;
}

function applies(match: HTTPMatchRequest, { gateway, port, namespace, labels }: Audience): boolean {
  if (match.port !== undefined && match.port !== 0 && match.port !== port) return false;
  // A list of gateways takes the place of the source's conditions.
  if (match.gateways !== undefined && match.gateways.length > 0) return match.gateways.includes(gateway);
  const wanted = Object.entries(match.sourceLabels ?? {});
  if (!wanted.every(([key, value]) => labels[key] === value)) return false;
  return (match.sourceNamespace ?? '') === '' || match.sourceNamespace === namespace;
}
