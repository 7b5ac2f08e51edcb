// Installs, by Helm as users do, what all files of the suite work on: definitions, a control plane, a gateway, bookinfo.
// Takes any cluster by KUBECONFIG, with nothing of a mesh in it; the last file of the suite takes all away again.
// MELTEMI_REUSE=1 works on with what an earlier run of some files left.
import { clientObjects, CLIENTS, type Client } from './bookinfo.ts';
import { apply, helm, installControlPlane, kubectl, ran, rolledOut, sample } from './run.ts';

export const NAMESPACES = ['istio-system', 'istio-ingress', 'bookinfo', 'outside'];

export default async function setup(): Promise<void> {
  if (process.env['KUBECONFIG'] === undefined) throw new Error('KUBECONFIG names no cluster: nothing to test');
  if (process.env['MELTEMI_REUSE'] === '1') return;
  await refuseUsedCluster();
  await helm('install', 'istio-base', 'charts/base', '-n', 'istio-system', '--create-namespace');
  await installControlPlane('istiod');
  await helm('install', 'ingress', 'charts/gateway', '-n', 'istio-ingress', '--create-namespace', ...GATEWAY);
  const objects = await sample();
  await apply(...objects, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'outside' } });
  const program = objects.find((object) => (object as { kind: string }).kind === 'ConfigMap');
  if (program === undefined) throw new Error('the sample has no program');
  await apply({ ...program, metadata: { name: 'app', namespace: 'outside' } });
  for (const client of Object.keys(CLIENTS) as Client[]) await apply(...clientObjects(client));
  await rolledOut('istio-ingress', 'ingress');
  await rolledOut('bookinfo', ...BOOKINFO, 'client');
  await rolledOut('outside', 'client');
}

const GATEWAY = ['--set', 'service.type=ClusterIP,resources.requests.cpu=10m,resources.requests.memory=64Mi'];

export const BOOKINFO = [
  'productpage-v1',
  'details-v1',
  'reviews-v1',
  'reviews-v2',
  'reviews-v3',
  'ratings-v1',
  'ledger-v1',
];

async function refuseUsedCluster(): Promise<void> {
  const taken = await ran('kubectl', ['get', 'namespace', ...NAMESPACES, '-o', 'name', '--ignore-not-found']);
  if (taken.code !== 0) throw new Error(`the cluster doesn't answer: ${taken.stderr}`);
  const used = taken.stdout.trim().split('\n').join(', ');
  if (used !== '') throw new Error(`the cluster is in use: ${used}`);
  await kubectl('version');
}
