// A second revision beside the first: namespaces move to it by label, by tag, by the default, and back, under a stream.
import type { V1Namespace, V1Pod } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { during } from './support/bookinfo.ts';
import { getJson, helm, installControlPlane, kubectl, meltemi, rolledOut, until } from './support/run.ts';

const BOTH = ['mesh', 'outside'] as const;
const MOVED = ['productpage-v1', 'details-v1'];

async function tag(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await meltemi('tag', ...args);
  expect(code, stderr).toBe(0);
  return stdout;
}

async function restart(): Promise<void> {
  await kubectl('-n', 'bookinfo', 'rollout', 'restart', ...MOVED.map((name) => `deployment/${name}`));
  await rolledOut('bookinfo', ...MOVED);
}

/** Revisions of the running pods. */
async function revisions(): Promise<string[]> {
  const pods = await until('pods of old templates are gone', async () => {
    const { items } = await getJson<{ items: V1Pod[] }>('pods', '-n', 'bookinfo', '-l', 'app in (productpage,details)');
    return items.length === MOVED.length && items;
  });
  return [...new Set(pods.map(({ metadata }) => metadata?.annotations?.['istio.io/rev'] ?? ''))];
}

async function label(...labels: string[]): Promise<void> {
  await kubectl('label', 'namespace', 'bookinfo', '--overwrite', ...labels);
}

describe('revision b beside the default one', () => {
  beforeAll(() => installControlPlane('istiod-b', '--set', 'revision=b'));

  afterAll(async () => {
    const { metadata } = await getJson<V1Namespace>('namespace', 'bookinfo');
    expect(metadata?.labels?.['istio-injection']).toBe('enabled');
    await helm('uninstall', 'istiod-b', '-n', 'istio-system', '--wait');
  });

  it('takes a namespace by its label, and no request is lost', async () => {
    const seen = await during(BOTH, async () => {
      await label('istio-injection-', 'istio.io/rev=b');
      await restart();
      expect(await revisions()).toEqual(['b']);
    });
    for (const client of BOTH) expect(seen[client]).toMatchObject({ failed: 0, failures: [] });
  });

  it('gives it back by a tag that moves', async () => {
    expect((await meltemi('tag', 'set', 'prod', '--revision', 'none')).stderr).toContain('no revision none');
    await tag('set', 'prod', '--revision', 'b');
    await label('istio.io/rev=prod');
    expect(await tag('list')).toMatch(/prod +b +bookinfo/);
    expect((await meltemi('tag', 'set', 'prod', '--revision', 'default')).stderr).toContain('--overwrite');
    const seen = await during(BOTH, async () => {
      await tag('set', 'prod', '--revision', 'default', '--overwrite');
      expect(await revisions()).toEqual(['b']);
      await restart();
      expect(await revisions()).toEqual(['default']);
    });
    for (const client of BOTH) expect(seen[client]).toMatchObject({ failed: 0, failures: [] });
  });

  it('becomes the default and stops being it', async () => {
    await label('istio.io/rev-', 'istio-injection=enabled');
    await tag('remove', 'prod');
    await tag('set', 'default', '--revision', 'b');
    await until('the tag is in force', async () => (await meltemi('check')).code === 0);
    const seen = await during(BOTH, async () => {
      await restart();
      expect(await revisions()).toEqual(['b']);
      await tag('remove', 'default', '--skip-confirmation');
      await restart();
      expect(await revisions()).toEqual(['default']);
    });
    for (const client of BOTH) expect(seen[client]).toMatchObject({ failed: 0, failures: [] });
  });
});
