// Entries of registered workloads as objects of an API server: made, changed and removed only while they are what was
// decided on.
import { describe, expect, it } from 'vitest';
import { kubeEntries } from '../../src/controllers/entry-writer.ts';
import { parseDocument } from '../../src/config/parse/index.ts';
import type { HealthCondition, WorkloadEntry, WorkloadGroup } from '../../src/registration/port.ts';
import { FakeKube } from '../support/fake-kube.ts';

const PATH = '/apis/networking.istio.io/v1/namespaces/vms/workloadentries/web-10.0.0.1';
const CONTROLLER = 'istio.io/workloadController';
const CONNECTED = 'istio.io/connectedAt';

function parsed(raw: object): unknown {
  const [only] = parseDocument(raw, { unknownFields: 'error' });
  if (only?.kind !== 'object') throw new Error(JSON.stringify(only));
  return only.object;
}

function entry(controller: string, connectedAt: string): WorkloadEntry {
  return parsed({
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadEntry',
    metadata: {
      name: 'web-10.0.0.1',
      namespace: 'vms',
      labels: { app: 'web' },
      annotations: { [CONTROLLER]: controller, [CONNECTED]: connectedAt },
    },
    spec: { address: '10.0.0.1', serviceAccount: 'web' },
  }) as WorkloadEntry;
}

const GROUP = parsed({
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadGroup',
  metadata: { name: 'web', namespace: 'vms', uid: 'u-1' },
  spec: { template: { serviceAccount: 'web' } },
}) as WorkloadGroup;

async function created(): Promise<{ kube: FakeKube; writer: ReturnType<typeof kubeEntries>; own: WorkloadEntry }> {
  const kube = new FakeKube();
  const writer = kubeEntries(kube);
  const own = entry('a', '1');
  await writer.create(own, GROUP);
  return { kube, writer, own };
}

const HEALTHY: HealthCondition = {
  type: 'Healthy',
  status: 'True',
  message: '',
  lastProbeTime: '2026-01-01T00:00:00Z',
  lastTransitionTime: '2026-01-01T00:00:00Z',
};

describe('entries of registered workloads', () => {
  it('belong to their group, and are made once', async () => {
    const { kube, writer, own } = await created();
    expect(kube.read(PATH)).toMatchObject({
      metadata: { ownerReferences: [{ kind: 'WorkloadGroup', name: 'web', uid: 'u-1' }], labels: { app: 'web' } },
      spec: { address: '10.0.0.1' },
    });
    await expect(writer.create(own, GROUP)).rejects.toMatchObject({ status: 409 });
  });

  it('are changed in what is meant, and keep what others put there', async () => {
    const { kube, writer, own } = await created();
    const before = kube.read(PATH);
    kube.put(PATH, {
      ...before,
      metadata: { ...before?.metadata, name: 'web-10.0.0.1' },
      status: { conditions: [{ type: 'Other' }] },
    });
    await writer.change(own, {
      annotations: { [CONNECTED]: undefined, 'istio.io/disconnectedAt': '2' },
      health: HEALTHY,
    });
    expect(kube.read(PATH)).toMatchObject({
      metadata: { annotations: { [CONTROLLER]: 'a', 'istio.io/disconnectedAt': '2' } },
      status: { conditions: [{ type: 'Other' }, HEALTHY] },
    });
    expect(kube.read(PATH)?.metadata['annotations']).not.toHaveProperty(CONNECTED);
  });

  it('are left alone once another replica has them', async () => {
    const { kube, writer, own } = await created();
    await writer.change(own, { annotations: { [CONTROLLER]: 'b', [CONNECTED]: '2' } });
    const writes = kube.writes.length;
    await expect(writer.change(own, { health: HEALTHY })).rejects.toMatchObject({ status: 409 });
    await expect(writer.remove(own)).rejects.toMatchObject({ status: 409 });
    expect(kube.writes).toHaveLength(writes);
    await writer.remove(entry('b', '2'));
    expect(kube.read(PATH)).toBeUndefined();
    await writer.remove(entry('b', '2'));
    await expect(writer.change(own, { health: HEALTHY })).rejects.toMatchObject({ status: 404 });
  });
});
