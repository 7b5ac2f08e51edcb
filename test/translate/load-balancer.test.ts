import { expect, it } from 'vitest';
import { loadBalancer } from '../../src/translate/clusters/settings.ts';

it('asks for no larger ring than Envoy takes', () => {
  const largest = { lbPolicy: 'RING_HASH', ringHashLbConfig: { minimumRingSize: 8_388_608 } };
  const key = { useSourceIp: true } as const;
  expect(loadBalancer({ consistentHash: { ...key, ringHash: { minimumRingSize: 9_000_000 } } })).toEqual(largest);
  expect(loadBalancer({ consistentHash: { ...key, minimumRingSize: 9_000_000 } })).toEqual(largest);
  expect(loadBalancer({ consistentHash: { ...key, ringHash: { minimumRingSize: 100 } } })).toEqual({
    lbPolicy: 'RING_HASH',
    ringHashLbConfig: { minimumRingSize: 100 },
  });
});
