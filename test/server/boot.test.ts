// A start before an API server: lists arrive kind by kind and page by page, and what is made of them is made once.
import { afterAll, expect, it } from 'vitest';
import { KINDS } from '../../src/config/kinds.ts';
import { FakeApiServer } from '../sources/fake-api-server.ts';
import { type LocalControlPlane, startLocalControlPlane, SYSTEM, TestFolder } from '../support/server.ts';

const SERVICES = 600;
const ADMISSION = '/apis/admissionregistration.k8s.io/v1';
const OWN = [`/api/v1/namespaces/${SYSTEM}/configmaps`, `/api/v1/namespaces/${SYSTEM}/services`];
const WEBHOOKS = [`${ADMISSION}/mutatingwebhookconfigurations`, `${ADMISSION}/validatingwebhookconfigurations`];
const NETWORKING = '/apis/networking.istio.io/v1';

const api = new FakeApiServer();
const folder = new TestFolder();
let plane: LocalControlPlane | undefined;

afterAll(async () => {
  await plane?.stop();
  await api.stop();
  folder.delete();
});

it('builds one snapshot, of everything, before it is ready', async () => {
  await api.start();
  for (const { group, plural } of KINDS) api.serve(group === '' ? `/api/v1/${plural}` : `/apis/${group}/v1/${plural}`);
  for (const path of [...OWN, ...WEBHOOKS]) api.serve(path);
  for (let i = 0; i < SERVICES; i++) {
    const [name, ip] = [`s${i}`, `10.1.${i >> 8}.${i & 255}`];
    const at = { namespace: 'shop', name };
    api.put('/api/v1/services', { metadata: at, spec: { clusterIP: ip, ports: [{ port: 80 }] } });
    api.put('/api/v1/pods', { metadata: at, status: { podIP: ip, phase: 'Running' } });
  }
  for (const plural of ['sidecars', 'gateways'])
    api.put(`${NETWORKING}/${plural}`, { metadata: { namespace: 'shop', name: 'x' }, spec: {} });
  const { kubeconfig } = api;
  plane = await startLocalControlPlane(folder, '127.0.0.1', { kubeconfig, configDir: undefined });
  expect(await plane.metric('meltemi_snapshots_total')).toBe(1);
  expect(await plane.metric('pilot_services')).toBe(SERVICES);
  expect(await plane.metric('meltemi_kube_lists_total')).toBe(KINDS.length);
});
