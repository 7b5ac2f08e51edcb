// Helm's own ways: upgrade in place, back, and away. Nothing of the mesh is left but the definitions, as the chart says.
import type { V1ConfigMap } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { during } from './support/bookinfo.ts';
import { CONTROL_PLANE, getJson, helm, kubectl, meltemi, ran, rolledOut, until } from './support/run.ts';
import { NAMESPACES } from './support/setup.ts';

const BOTH = ['mesh', 'outside'] as const;

const meshOf = async (): Promise<string> =>
  (await getJson<V1ConfigMap>('configmap', '-n', 'istio-system', 'istio')).data?.['mesh'] ?? '';

describe('helm', () => {
  it('upgrades in place and rolls back, and no request is lost', async () => {
    const seen = await during(BOTH, async () => {
      const change = ['--set', 'meshConfig.accessLogFile=/dev/stdout', '--set', 'podAnnotations.changed=yes'];
      await helm('upgrade', 'istiod', 'charts/meltemi', ...CONTROL_PLANE, ...change, '--wait');
      expect(await meshOf()).toContain('/dev/stdout');
      await helm('rollback', 'istiod', '-n', 'istio-system', '--wait');
      expect(await meshOf()).not.toContain('/dev/stdout');
      await rolledOut('istio-system', 'istiod');
    });
    for (const client of BOTH) expect(seen[client]).toMatchObject({ failed: 0, failures: [] });
  });

  it('leaves webhooks to the control plane: their CA survives an upgrade', async () => {
    expect((await meltemi('check')).stdout).toContain('Nothing is amiss');
  });

  it('takes all away again', async () => {
    await kubectl('delete', 'namespace', 'bookinfo', 'outside', '--wait=false');
    await helm('uninstall', 'ingress', '-n', 'istio-ingress');
    await helm('uninstall', 'istiod', '-n', 'istio-system', '--wait');
    await helm('uninstall', 'istio-base', '-n', 'istio-system', '--wait');
    const kinds = (await kubectl('api-resources', '--verbs=list', '-o', 'name'))
      .trim()
      .split('\n')
      .filter((kind) => !kind.startsWith('events'));
    // Pods end some seconds after what made them.
    await until('nothing of the charts is left but the definitions', async () => {
      const label = 'app.kubernetes.io/part-of=meltemi';
      const left = await ran('kubectl', ['get', kinds.join(','), '-A', '-l', label, '-o', 'name']);
      const names = left.stdout.split('\n').filter((name) => name !== '');
      return names.every((name) => name.startsWith('customresourcedefinition'));
    });
    const roots = await kubectl(
      'get',
      'configmap',
      '-A',
      '--field-selector=metadata.name=istio-ca-root-cert',
      '-o',
      'name',
    );
    expect(roots.trim()).toBe('');
    for (const kind of ['secret', 'lease', 'configmap']) {
      const names = await kubectl('get', kind, '-n', 'istio-system', '-o', 'name');
      expect(names.split('\n').filter((name) => name !== '' && !name.includes('kube-root-ca'))).toEqual([]);
    }
    await kubectl('delete', 'crd', '-l', 'app.kubernetes.io/part-of=meltemi');
    await kubectl('delete', 'namespace', ...NAMESPACES, '--ignore-not-found');
    await until('the cluster is as it was', async () => (await meltemi('check')).stdout.includes('fit for one'));
  });
});
