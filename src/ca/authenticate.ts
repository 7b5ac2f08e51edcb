// The decision who is calling, of whoever may decide.
// In: authenticators, the credentials a peer showed; out: a Caller with its identities, or the reasons of all who refused (for
// the log only). Called by service for CSRs and by the xDS server for streams.

import type { AuthDecision, Authenticator } from './authenticators.ts';
import type { PeerCredentials } from './credentials.ts';

/** Asks one authenticator after the other. The refusal's reason names each; it is for the log and never for the peer. */
export async function authenticate(
  authenticators: readonly Authenticator[],
  credentials: PeerCredentials,
): Promise<AuthDecision> {
  const reasons: string[] = [];
  let temporary = false;
  for (const authenticator of authenticators) {
    const outcome = await authenticator.authenticate(credentials);
    if (outcome.kind === 'accepted') return outcome;
    temporary ||= outcome.kind === 'rejected' && outcome.temporary === true;
    reasons.push(`${authenticator.name}: ${outcome.kind === 'absent' ? 'nothing presented' : outcome.reason}`);
  }
  return { kind: 'refused', reason: reasons.join('; '), ...(temporary ? { temporary } : {}) };
}
