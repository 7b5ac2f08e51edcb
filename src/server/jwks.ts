// Which key sets the RequestAuthentications of the store ask for.

import type { RequestAuthenticationSpec } from '../config/generated/types.ts';
import { jwksSource } from '../config/jwks-source.ts';
import type { ConfigObject } from '../config/object.ts';
import { parseDuration } from '../lib/duration.ts';
import { tableValues } from '../lib/table.ts';
import type { WantedKeys } from '../sources/jwks.ts';
import type { StoreState } from '../store/state.ts';

/** Of rules that say nothing else, ms. */
const TIMEOUT_MS = 5000;
/** What no rule may exceed, ms: a request that hangs holds its own set only, but not for ever. */
const MAX_TIMEOUT_MS = 60_000;

export function wantedKeys({ byKind }: StoreState): readonly WantedKeys[] {
  const objects = [...tableValues(byKind.RequestAuthentication)] as readonly ConfigObject<RequestAuthenticationSpec>[];
  return objects.flatMap(({ spec }) =>
    (spec.jwtRules ?? []).flatMap((rule) => {
      const source = jwksSource(rule);
      if (source.kind === 'inline' || !/^https?:\/\//i.test(source.uri)) return [];
      return [{ source, timeout: timeoutOf(rule.timeout) }];
    }),
  );
}

function timeoutOf(text: string | undefined): number {
  const duration = text === undefined ? undefined : parseDuration(text);
  if (duration === undefined) return TIMEOUT_MS;
  const ms = duration.seconds * 1000 + Math.round(duration.nanos / 1e6);
  return ms > 0 ? Math.min(ms, MAX_TIMEOUT_MS) : TIMEOUT_MS;
}
