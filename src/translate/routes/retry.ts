// Retry policies of routes: VirtualService `retries`, else the mesh's default, else the built-in one.

import { lasting } from '../../codec/index.ts';
import type { HTTPRetry } from '../../config/generated/types.ts';
import { protoDuration } from '../../lib/duration.ts';
import type { Messages } from '../../messages/index.ts';
import { extension } from '../envoy.ts';

type RetryPolicy = Messages['envoy.config.route.v3.RetryPolicy'];

/** Failures where the server has surely not acted, and codes that the user lists. */
const OUTBOUND_RETRY_ON = 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes';

/** The application has not seen the request: it closed the connection while the request was under way. */
const INBOUND_RETRY_ON = 'reset-before-request';

const NUM_RETRIES = 2;

const STATUS_CODES = 'retriable-status-codes';

const PREVIOUS_HOSTS: NonNullable<RetryPolicy['retryHostPredicate']> = [
  extension(
    'envoy.retry_host_predicates.previous_hosts',
    'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
    {},
  ),
];

const PREVIOUS_PRIORITIES: RetryPolicy['retryPriority'] = extension(
  'envoy.retry_priorities.previous_priorities',
  'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig',
  { updateFrequency: 2 },
);

/** The built-in policy; and where a retry goes to another host. */
const SAME_HOST: RetryPolicy = lasting({
  retryOn: OUTBOUND_RETRY_ON,
  numRetries: NUM_RETRIES,
  hostSelectionRetryMaxAttempts: 5,
});
const OTHER_HOST: RetryPolicy = lasting({ ...SAME_HOST, retryHostPredicate: PREVIOUS_HOSTS });

/**
 * The policy of a route towards a service; undefined = none. With consistent hashing a retry may go to the same host,
 * since the hash leads there again.
 */
export function retryPolicy(retries: HTTPRetry | undefined, consistentHash: boolean): RetryPolicy | undefined {
  if (retries === undefined) return consistentHash ? SAME_HOST : OTHER_HOST;
  const attempts = retries.attempts ?? 0;
  if (attempts <= 0) return undefined;
  const otherHosts = retries.retryIgnorePreviousHosts ?? !consistentHash;
  return {
    ...retryConditions(retries.retryOn, OUTBOUND_RETRY_ON),
    numRetries: attempts,
    hostSelectionRetryMaxAttempts: 5,
    perTryTimeout: protoDuration(retries.perTryTimeout),
    retryHostPredicate: otherHosts ? PREVIOUS_HOSTS : undefined,
    retryPriority: retries.retryRemoteLocalities === true ? PREVIOUS_PRIORITIES : undefined,
    ...backoff(retries),
  };
}

/** The policy of a route to the application itself: there is one host, so nothing about hosts applies. */
export function inboundRetryPolicy(retries: HTTPRetry | undefined): RetryPolicy | undefined {
  if (retries === undefined) return { retryOn: INBOUND_RETRY_ON, numRetries: NUM_RETRIES };
  const attempts = retries.attempts ?? 0;
  if (attempts <= 0) return undefined;
  return { ...retryConditions(retries.retryOn, INBOUND_RETRY_ON), numRetries: attempts, ...backoff(retries) };
}

function backoff({ backoff: text }: HTTPRetry): RetryPolicy {
  const baseInterval = protoDuration(text);
  return baseInterval === undefined ? {} : { retryBackOff: { baseInterval } };
}

/** `retryOn` mixes names of conditions with status codes; Envoy has two fields. */
function retryConditions(retryOn: string | undefined, fallback: string): RetryPolicy {
  if (retryOn === undefined || retryOn === '') return { retryOn: fallback };
  const parts = retryOn
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const codes = parts.filter(isStatusCode).map(Number);
  const names = parts.filter((part) => !isStatusCode(part));
  if (codes.length === 0) return { retryOn: names.join(',') };
  if (!names.includes(STATUS_CODES)) names.push(STATUS_CODES);
  return { retryOn: names.join(','), retriableStatusCodes: codes };
}

function isStatusCode(text: string): boolean {
  return /^[1-5]\d\d$/.test(text);
}
