// The authority as a worker sees it: it believes and signs in the process that translates.
// In: calls to that process. Out: what the gRPC services ask of an authenticator and of an authority. Called by worker.ts.

import type { AuthDecision, Authenticator } from '../ca/authenticators.ts';
import type { Authority } from '../ca/authority.ts';
import { CaError, type CaErrorCode } from '../ca/errors.ts';
import { CallError, type Calls } from '../workers/calls.ts';

export interface CertifyQuestion {
  readonly csr: string;
  readonly identities: readonly string[];
  readonly seconds: number;
}

export function remoteAuthenticator(calls: Calls): Authenticator {
  return {
    name: 'control plane',
    authenticate: async (credentials) => {
      const decision = await calls.ask<AuthDecision>('authenticate', credentials);
      return decision.kind === 'accepted' ? decision : { ...decision, kind: 'rejected' };
    },
  };
}

export function remoteAuthority(calls: Calls): Pick<Authority, 'certify'> {
  return {
    certify: async (csr, identities, seconds) => {
      const question: CertifyQuestion = { csr, identities, seconds };
      try {
        return await calls.ask<string[]>('certify', question);
      } catch (error) {
        if (error instanceof CallError && error.code !== undefined)
          throw new CaError(error.code as CaErrorCode, error.message);
        throw error;
      }
    },
  };
}
