// Pods come and go under a steady stream: from a client with a sidecar, and from outside through the gateway.
import type { V1Pod } from '@kubernetes/client-node';
import { afterAll, describe, expect, it } from 'vitest';
import { countsOf, during } from './support/bookinfo.ts';
import { getJson, kubectl, rolledOut, until } from './support/run.ts';

const BOTH = ['mesh', 'outside'] as const;
const NONE = { failed: 0, failures: [] };

describe('a steady stream', () => {
  it('flows', async () => {
    const before = await countsOf('outside');
    await until('it flows', async () => (await countsOf('outside')).answered > before.answered + 10);
  });

  it('loses nothing when deployments are restarted', async () => {
    const seen = await during(BOTH, async () => {
      const names = ['productpage-v1', 'details-v1', 'reviews-v1'];
      await kubectl('-n', 'bookinfo', 'rollout', 'restart', ...names.map((name) => `deployment/${name}`));
      await rolledOut('bookinfo', ...names);
      await gone('bookinfo', 'app in (productpage,details)', 2);
    });
    for (const client of BOTH) expect(seen[client]).toMatchObject(NONE);
  });

  it('loses nothing when the gateway is restarted', async () => {
    const seen = await during(['outside'], async () => {
      await kubectl('-n', 'istio-ingress', 'rollout', 'restart', 'deployment/ingress');
      await rolledOut('istio-ingress', 'ingress');
      await gone('istio-ingress', 'app=ingress', 1);
    });
    expect(seen['outside']).toMatchObject(NONE);
  });

  it('loses nothing when a deployment is scaled to ten and back', async () => {
    const seen = await during(BOTH, async () => {
      await kubectl('-n', 'bookinfo', 'scale', 'deployment/productpage-v1', '--replicas=10');
      await rolledOut('bookinfo', 'productpage-v1');
      await kubectl('-n', 'bookinfo', 'scale', 'deployment/productpage-v1', '--replicas=1');
      await gone('bookinfo', 'app=productpage', 1);
    });
    for (const client of BOTH) expect(seen[client]).toMatchObject(NONE);
  });

  it('recovers by itself when an application is killed', async () => {
    await kubectl('-n', 'bookinfo', 'scale', 'deployment/details-v1', '--replicas=2');
    await rolledOut('bookinfo', 'details-v1');
    const [victim] = (await getJson<{ items: V1Pod[] }>('pods', '-n', 'bookinfo', '-l', 'app=details')).items;
    await kubectl('-n', 'bookinfo', 'delete', 'pod', victim?.metadata?.name ?? '', '--grace-period=0', '--force');
    await rolledOut('bookinfo', 'details-v1');
    const seen = await during(BOTH, () => new Promise((resolve) => setTimeout(resolve, 3000)));
    for (const client of BOTH) expect(seen[client]).toMatchObject(NONE);
  });

  it('loses nothing when the control plane is restarted, nor while it is killed', async () => {
    const seen = await during(BOTH, async () => {
      await kubectl('-n', 'istio-system', 'rollout', 'restart', 'deployment/istiod');
      await rolledOut('istio-system', 'istiod');
      await kubectl('-n', 'istio-system', 'delete', 'pod', '-l', 'app=istiod', '--grace-period=0', '--force');
      await rolledOut('istio-system', 'istiod');
    });
    for (const client of BOTH) expect(seen[client]).toMatchObject(NONE);
  });

  afterAll(async () => {
    await kubectl('-n', 'bookinfo', 'scale', 'deployment/details-v1', '--replicas=1');
  });
});

/** Waits until only so many pods are left. */
async function gone(namespace: string, selector: string, left: number): Promise<void> {
  await until(`${left} pods of ${selector} are left`, async () => {
    const { items } = await getJson<{ items: V1Pod[] }>('pods', '-n', namespace, '-l', selector);
    return items.length === left;
  });
}
