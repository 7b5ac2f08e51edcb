import { expect, it } from 'vitest';
import { statName } from '../../src/translate/clusters/stat-name.ts';

const web = { registry: 'Kubernetes', hostname: 'web.shop.svc.cluster.local', name: 'web', namespace: 'shop' } as const;
const out = { registry: 'External', hostname: 'api.example', name: 'api.example', namespace: 'shop' } as const;
const port = { number: 80, name: 'http' };

it('clusters are counted under their own name, or under what the mesh makes of the service', () => {
  const all =
    '%SERVICE%|%SERVICE_NAME%|%SERVICE_FQDN%|%SUBSET_NAME%|%TARGET_PORT%|%SERVICE_PORT%|%SERVICE_PORT_NAME%|%OTHER%';
  expect(statName(undefined, 'outbound|80||web', web, port, '', 0)).toBe('outbound|80||web;');
  expect(statName('', 'outbound|80||web', web, port, '', 0)).toBe('outbound|80||web;');
  expect(statName(all, 'x', web, port, 'v1', 8080)).toBe(
    'web.shop|web|web.shop.svc.cluster.local|v1|8080|80|http|%OTHER%;',
  );
  expect(statName('%SERVICE%/%SERVICE_NAME%', 'x', out, port, '', 0)).toBe('api.example/api.example;');
});
