// A server with exactly the rights that are documented does all its work. Skipped without KUBECONFIG.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLUSTER_RULES, SYSTEM_RULES } from '../../src/controllers/rbac.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { loadKubeconfig } from '../../src/sources/kube-library.ts';
import { call } from '../support/apps.ts';
import { eventually, until } from '../support/wait.ts';
import { Cluster, kubeconfig, proxyWith, type Raw, serve } from './cluster.ts';

const RBAC = 'rbac.authorization.k8s.io/v1';
const GROUP = 'rbac.authorization.k8s.io';

describe.skipIf(kubeconfig === undefined)('a control plane with the least rights', () => {
  let cluster: Cluster;
  let system: string;
  let limited: string;

  beforeAll(async () => {
    cluster = new Cluster();
    await cluster.define('networking.istio.io', 'Sidecar', 'sidecars');
    await cluster.define('multicluster.x-k8s.io', 'ServiceExport', 'serviceexports');
    system = await cluster.namespace('least');
    const name = cluster.name('meltemi');
    const subjects = [{ kind: 'ServiceAccount', name, namespace: system }];
    const roleRef = (kind: string) => ({ apiGroup: GROUP, kind, name });
    const put = (raw: object) => cluster.put(raw as Raw);
    await put({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: system } });
    await put({ apiVersion: RBAC, kind: 'ClusterRole', metadata: { name }, rules: CLUSTER_RULES });
    await put({ apiVersion: RBAC, kind: 'Role', metadata: { name, namespace: system }, rules: SYSTEM_RULES });
    await put({
      apiVersion: RBAC,
      kind: 'ClusterRoleBinding',
      metadata: { name },
      roleRef: roleRef('ClusterRole'),
      subjects,
    });
    const binding = { apiVersion: RBAC, kind: 'RoleBinding', metadata: { name, namespace: system } };
    await put({ ...binding, roleRef: roleRef('Role'), subjects });
    const own = loadKubeconfig(kubeconfig).getCurrentCluster();
    const token = await cluster.token(system, name, 'https://kubernetes.default.svc.cluster.local');
    limited = join(mkdtempSync(join(tmpdir(), 'meltemi-kube-')), 'kubeconfig');
    const config = {
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'x' },
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      users: [{ name: 'u', user: { token } }],
      clusters: [
        {
          name: 'c',
          cluster: {
            server: own?.server,
            ...(own?.caData === undefined
              ? { 'certificate-authority': own?.caFile }
              : { 'certificate-authority-data': own.caData }),
          },
        },
      ],
    };
    writeFileSync(limited, JSON.stringify(config));
  });

  afterAll(() => cluster.clean());

  it('reads everything, leads, and writes what it must', async () => {
    const server = await serve(system, { kubeconfig: limited, replica: 'least' });
    try {
      expect(server.config.store.state().findings.filter(({ code }) => code === 'MEL0040')).toEqual([]);
      const fresh = await cluster.namespace('fresh');
      const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'istio-ca-root-cert', namespace: fresh } };
      const root = await eventually(() => cluster.read(map), 'the root certificate');
      const sidecar: Raw = {
        ...{ apiVersion: 'networking.istio.io/v1', kind: 'Sidecar', metadata: { name: 'x', namespace: fresh } },
        spec: { egress: [{ hosts: ['./*'] }] },
      };
      await cluster.put(sidecar);
      const exported: Raw = {
        ...{ apiVersion: 'multicluster.x-k8s.io/v1', kind: 'ServiceExport', metadata: { name: 'x', namespace: fresh } },
        spec: {},
      };
      await cluster.put(exported);
      const shown = async () => {
        const { port = 0 } = server.addresses.http ?? {};
        return (await call({ address: '127.0.0.1', port, path: '/debug/configz' })).body.includes('"ServiceExport"');
      };
      await until(shown, 'a kind of multi-cluster services in /debug/configz');
      const conditions = async () => (await cluster.read(sidecar))?.['status'];
      await eventually(async () => conditions(), 'a status', 40_000);
      await cluster.put({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'web', namespace: fresh } });
      const roots = (root['data'] as Record<string, string>)['root-cert.pem'] ?? '';
      const client = proxyWith(server, roots, await cluster.token(fresh, 'web'), { namespace: fresh, account: 'web' });
      client.subscribe(TYPE_URL.cluster);
      await until(async () => client.held(TYPE_URL.cluster).size > 0, 'clusters for a proxy that was looked up');
      client.close();
    } finally {
      await server.stop();
    }
    const report = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'meltemi-report-least', namespace: system },
    };
    expect(await cluster.read(report)).toBeUndefined();
  });
});
