import { describe, expect, it } from 'vitest';
import type { HTTPRetry } from '../../../src/config/generated/types.ts';
import { inboundRetryPolicy, retryPolicy } from '../../../src/translate/routes/retry.ts';

const DEFAULT_ON = 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes';

describe('retryPolicy', () => {
  it('retries twice on another host by default', () => {
    expect(retryPolicy(undefined, false)).toMatchObject({
      retryOn: DEFAULT_ON,
      numRetries: 2,
      hostSelectionRetryMaxAttempts: 5,
    });
    expect(retryPolicy(undefined, false)?.retryHostPredicate).toHaveLength(1);
  });

  it('leaves the host to the hash', () => {
    expect(retryPolicy(undefined, true)?.retryHostPredicate).toBeUndefined();
    expect(retryPolicy({ attempts: 3, retryIgnorePreviousHosts: true }, true)?.retryHostPredicate).toHaveLength(1);
  });

  const cases: readonly (readonly [string, HTTPRetry, unknown])[] = [
    ['no attempts', { attempts: 0, retryOn: '5xx' }, undefined],
    ['own conditions replace all', { attempts: 1, retryOn: '5xx, reset' }, { retryOn: '5xx,reset', numRetries: 1 }],
    [
      'codes among the conditions',
      { attempts: 1, retryOn: '5xx,503,429' },
      { retryOn: '5xx,retriable-status-codes', retriableStatusCodes: [503, 429] },
    ],
    [
      'codes with the condition written out',
      { attempts: 1, retryOn: 'retriable-status-codes,503' },
      { retryOn: 'retriable-status-codes', retriableStatusCodes: [503] },
    ],
    ['time for each try', { attempts: 1, perTryTimeout: '250ms' }, { perTryTimeout: '0.250s', retryOn: DEFAULT_ON }],
    ['backoff', { attempts: 1, backoff: '1s' }, { retryBackOff: { baseInterval: '1s' } }],
    [
      'other localities',
      { attempts: 1, retryRemoteLocalities: true },
      { retryPriority: { name: 'envoy.retry_priorities.previous_priorities', typedConfig: { updateFrequency: 2 } } },
    ],
  ];
  for (const [name, retries, want] of cases) {
    it(name, () => {
      const policy = retryPolicy(retries, false);
      if (want === undefined) expect(policy).toBeUndefined();
      else expect(policy).toMatchObject(want as object);
    });
  }
});

describe('inboundRetryPolicy', () => {
  it('retries what the application has not seen', () => {
    expect(inboundRetryPolicy(undefined)).toEqual({ retryOn: 'reset-before-request', numRetries: 2 });
    expect(inboundRetryPolicy({ attempts: 0 })).toBeUndefined();
    expect(inboundRetryPolicy({ attempts: 5, retryOn: '503', perTryTimeout: '1s' })).toEqual({
      retryOn: 'retriable-status-codes',
      retriableStatusCodes: [503],
      numRetries: 5,
    });
  });
});
