import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { envoysForTests, NEWEST } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';

const envoy = envoysForTests([NEWEST]).get(NEWEST) ?? '';

describe.skipIf(envoy === '')('traffic', () => {
  let mesh: Mesh<LocalControlPlane>;
  beforeAll(async () => {
    mesh = await startMesh({
      envoy,
      workloads: [
        { name: 'client' },
        { name: 'web-v1', service: 'web', labels: { version: 'v1' }, ports: [{ name: 'http', number: 8080 }] },
      ],
    });
  });
  afterAll(() => mesh?.stop());
  it('works', async () => {
    const answer = await mesh.call('client', { host: 'web' });
    console.log(answer.status, answer.body);
    expect(answer.status).toBe(200);
    await mesh.verify();
  });
});
