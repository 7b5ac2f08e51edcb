// Tokens of workloads, judged by the API server that issued them. In: a token. Out: whose it is, or why not.
// Called by the Kubernetes authenticator of ca/. Answers are remembered for a short while, by a hash of the token: a proxy
// that reconnects or renews its certificate shouldn't cost a request each time, and a pod that was deleted should soon be
// nobody. While the API server gives no answer, who was vouched for is believed until the token runs out: proxies go on being
// served through an outage. No token is kept or logged.

import { createHash } from 'node:crypto';
import type { TokenReview, TokenReviewer } from '../ca/authenticators.ts';
import type { Clock } from '../lib/ports.ts';
import { type KubeApi, KubeError } from '../sources/kube-api.ts';
import { isRecord } from '../sources/kube-discovery.ts';

export interface TokenReviewOptions {
  readonly api: KubeApi;
  readonly clock: Clock;
  /** The cluster whose tokens these are; callers may name it, or none. */
  readonly clusterId: string;
  readonly maxRemembered?: number | undefined;
}

/** How long an answer is believed, ms. */
const ACCEPTED_MS = 60_000;
const REFUSED_MS = 5_000;
/** How long an older answer is given before the API server, which did not answer, is asked again. */
const STALE_MS = 10_000;
const MAX_REMEMBERED = 10_000;
const ANSWER_MS = 10_000;
/** Tokens of service accounts have about 1 KiB; a longer text is not even asked about. */
const MAX_TOKEN = 16 * 1024;

interface Remembered {
  readonly answer: Promise<TokenReview>;
  until: number;
  /** The last answer that said yes. */
  accepted: TokenReview | undefined;
}

export function tokenReviewer(options: TokenReviewOptions): TokenReviewer {
  const { clock, clusterId, maxRemembered = MAX_REMEMBERED } = options;
  const remembered = new Map<string, Remembered>();
  return async (cluster, token, audiences) => {
    if (cluster !== undefined && cluster !== '' && cluster !== clusterId) return undefined;
    if (token.length > MAX_TOKEN) return refused('the token is too long');
    const key = createHash('sha256')
      .update(`${audiences.join(' ')}\0${token}`)
      .digest('base64');
    const known = remembered.get(key);
    if (known !== undefined && known.until > clock.now()) return known.answer;
    const before = known?.accepted;
    let stale = false;
    const answer = ask(options.api, token, audiences).catch((error: unknown) => {
      stale = before !== undefined && error instanceof NoAnswer && clock.now() < expiryOf(token);
      if (before === undefined || !stale) throw error;
      return before;
    });
    const entry: Remembered = { answer, until: clock.now() + ANSWER_MS, accepted: before };
    remembered.delete(key);
    remembered.set(key, entry);
    for (const oldest of remembered.keys()) {
      if (remembered.size <= maxRemembered) break;
      remembered.delete(oldest);
    }
    try {
      const told = await answer;
      entry.until = clock.now() + (stale ? STALE_MS : told.authenticated ? ACCEPTED_MS : REFUSED_MS);
      entry.accepted = told.authenticated ? told : undefined;
      return told;
    } catch (error) {
      // What was vouched for before may be asked about again.
      if (remembered.get(key) === entry && before === undefined) remembered.delete(key);
      entry.until = 0;
      throw error;
    }
  };
}

/** The API server is away or overloaded. */
class NoAnswer extends Error {}

/** ms; a token that names no time is good for none. It was verified when it was accepted. */
function expiryOf(token: string): number {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return isRecord(payload) && typeof payload['exp'] === 'number' ? payload['exp'] * 1000 : 0;
  } catch {
    return 0;
  }
}

async function ask(api: KubeApi, token: string, audiences: readonly string[]): Promise<TokenReview> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences } };
  const path = '/apis/authentication.k8s.io/v1/tokenreviews';
  try {
    const answer = await api.send({ method: 'POST', path, body }, AbortSignal.timeout(ANSWER_MS));
    return read(isRecord(answer) ? answer['status'] : undefined, audiences);
  } catch (error) {
    // The message of an API server may quote what it was sent.
    if (!(error instanceof KubeError)) throw error;
    const text = `the API server gave no answer (status ${error.status})`;
    const away = error.status === 0 || error.status === 429 || error.status >= 500;
    throw away ? new NoAnswer(text) : new Error(text, { cause: undefined });
  }
}

function read(status: unknown, audiences: readonly string[]): TokenReview {
  if (!isRecord(status)) return refused('the API server gave no status');
  const reason = typeof status['error'] === 'string' && status['error'] !== '' ? status['error'] : undefined;
  if (status['authenticated'] !== true) return refused(reason ?? 'the token is not valid');
  // A server that knows nothing of audiences leaves them out: then the token was meant for itself, not for us.
  const granted = textsOf(status['audiences']);
  if (!granted.some((audience) => audiences.includes(audience)))
    return refused(`the token is not for ${audiences.join(' or ')}`);
  const user = isRecord(status['user']) ? status['user'] : {};
  const extra = isRecord(user['extra']) ? user['extra'] : {};
  const [pod] = textsOf(extra['authentication.kubernetes.io/pod-name']);
  return {
    authenticated: true,
    username: typeof user['username'] === 'string' ? user['username'] : '',
    groups: textsOf(user['groups']),
    ...(pod === undefined ? {} : { pod }),
  };
}

function refused(error: string): TokenReview {
  return { authenticated: false, username: '', groups: [], error };
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((each): each is string => typeof each === 'string') : [];
}
