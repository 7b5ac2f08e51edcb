// Which objects shaped a listener.

import { type Origin, originOf } from '../../ir/draft.ts';
import type { Service } from '../../ir/service.ts';
import type { VirtualService } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import type { L4Context } from '../context.ts';
import { originOfRef } from '../draft.ts';

/** The objects that a service was made from; the same list for the same service. */
export const serviceOrigins = memo(({ refs }: Service): readonly Origin[] => refs.map((ref) => originOfRef(ref)));

/** As `serviceOrigins`, of a service that got nothing. */
export function lostOrigins({ refs }: Service, reason: string): readonly Origin[] {
  return refs.map((ref) => originOfRef(ref, undefined, reason));
}

export function virtualServiceOrigins({ object, delegates }: VirtualService): readonly Origin[] {
  return [originOf(object), ...delegates.map((delegate) => originOf(delegate))];
}

/** Policies that are on every chain of a context. */
export function contextOrigins({ origins }: L4Context): readonly Origin[] {
  return origins;
}
