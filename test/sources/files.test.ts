import { mkdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type FolderRig, folderRig, untilState, virtualService, weightOf } from './harness.ts';

const open: FolderRig[] = [];

async function rigOf(...args: Parameters<typeof folderRig>): Promise<FolderRig> {
  const rig = await folderRig(...args);
  open.push(rig);
  await rig.start();
  return rig;
}

afterEach(async () => {
  for (const rig of open.splice(0)) await rig.close();
});

describe('a folder of YAML as a source', () => {
  it('reads every document below the folder, lists and JSON included', async () => {
    const rig = await rigOf({
      'a.yaml': `${virtualService('one')}---\n${virtualService('two', 30)}`,
      'deep/er/b.yml': virtualService('three'),
      'c.json': JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: { a: 'b' } } }),
      'list.yaml': `apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ServiceAccount\n  metadata: {name: x}\n- apiVersion: v1\n  kind: ServiceAccount\n  metadata: {name: y, namespace: other}\n`,
      'notes.txt': 'kind: [',
      '.hidden.yaml': 'kind: [',
    });
    const state = rig.store.state();
    expect(rig.store.synced()).toBe(true);
    expect([weightOf(state, 'one'), weightOf(state, 'two'), weightOf(state, 'three')]).toEqual([100, 30, 100]);
    expect(state.byKind.Namespace.size).toBe(1);
    expect(state.byKind.ServiceAccount.size).toBe(2);
    expect(state.findings).toEqual([]);
  });

  it('refuses to start without the folder', async () => {
    const rig = await folderRig({});
    await rm(rig.dir, { recursive: true });
    await expect(rig.start()).rejects.toThrow('no folder');
    await rig.close();
  });

  it('takes over a file renamed into place and keeps the identity of all others', async () => {
    const rig = await rigOf({ 'a.yaml': virtualService('a'), 'b.yaml': virtualService('b') });
    const before = rig.store.state();
    await rig.put('a.yaml', virtualService('a', 60));
    const after = await rig.until('weight 60', (state) => weightOf(state, 'a') === 60);
    const objectOf = (state: typeof before, key: string) =>
      state.byKind.VirtualService.buckets.find((bucket) => bucket.has(key))?.get(key);
    expect(objectOf(after, 'default/b')).toBe(objectOf(before, 'default/b'));
    expect(after.byKind.Pod).toBe(before.byKind.Pod);
    expect(after.sequence).toBe(before.sequence + 1);
  });

  it('takes over a file written in place, and new folders', async () => {
    const rig = await rigOf({ 'a.yaml': virtualService('a') });
    await rig.write('a.yaml', virtualService('a', 10));
    await rig.until('weight 10', (state) => weightOf(state, 'a') === 10);
    await rig.write('new/sub/b.yaml', virtualService('b', 20));
    await rig.until('b of the new folder', (state) => weightOf(state, 'b') === 20);
    await rig.write('new/sub/b.yaml', virtualService('b', 21));
    await rig.until('b changed', (state) => weightOf(state, 'b') === 21);
  });

  it('makes no change of a file whose objects stay equal', async () => {
    const rig = await rigOf({ 'a.yaml': virtualService('a'), 'b.yaml': virtualService('b') });
    const before = rig.store.state();
    await rig.put('a.yaml', `# a comment\n\n${virtualService('a').replace('weight: 100', 'weight:   100')}`);
    await rig.put('b.yaml', virtualService('b', 50));
    const after = await rig.until('b changed', (state) => weightOf(state, 'b') === 50);
    const buckets = after.byKind.VirtualService.buckets;
    const index = buckets.findIndex((bucket) => bucket.has('default/a'));
    expect(buckets[index]?.get('default/a')).toBe(before.byKind.VirtualService.buckets[index]?.get('default/a'));
  });

  it('deletes the objects of a deleted file, and those taken out of a file', async () => {
    const rig = await rigOf({
      'a.yaml': virtualService('a'),
      'b.yaml': `${virtualService('b')}---\n${virtualService('c')}`,
    });
    await rig.remove('a.yaml');
    await rig.until('a is gone', (state) => weightOf(state, 'a') === undefined);
    await rig.put('b.yaml', virtualService('c'));
    const state = await rig.until('b is gone', (now) => weightOf(now, 'b') === undefined);
    expect(weightOf(state, 'c')).toBe(100);
  });

  it('never drops an object while its file is replaced by way of a deletion', async () => {
    const rig = await rigOf({ 'a.yaml': virtualService('a') });
    const seen: (number | undefined)[] = [];
    rig.store.onChange((state) => seen.push(weightOf(state, 'a')));
    await rename(join(rig.dir, 'a.yaml'), join(rig.dir, 'a.yaml~'));
    await rig.write('a.yaml', virtualService('a', 70));
    await rig.until('weight 70', (state) => weightOf(state, 'a') === 70);
    expect(seen).not.toContain(undefined);
  });

  it('moves an object from file to file without dropping it', async () => {
    const rig = await rigOf({ 'a.yaml': virtualService('a') });
    const seen: (number | undefined)[] = [];
    rig.store.onChange((state) => seen.push(weightOf(state, 'a')));
    await rename(join(rig.dir, 'a.yaml'), join(rig.dir, 'z.yaml'));
    await rig.put('z.yaml', virtualService('a', 40));
    await rig.until('weight 40', (state) => weightOf(state, 'a') === 40);
    expect(seen).not.toContain(undefined);
  });

  it('gathers a burst into few batches', async () => {
    const rig = await rigOf({ 'last.yaml': virtualService('last') });
    let batches = 0;
    rig.store.onChange(() => batches++);
    await Promise.all(Array.from({ length: 100 }, (_, i) => rig.put(`f${i}.yaml`, virtualService(`s${i}`))));
    await rig.until('all hundred', (state) => state.byKind.VirtualService.size === 101);
    expect(batches).toBeLessThan(20);
  });

  it('follows the swap of a mounted ConfigMap', async () => {
    const rig = await folderRig({});
    open.push(rig);
    const volume = async (version: string, weight: number): Promise<void> => {
      await mkdir(join(rig.dir, version));
      await writeFile(join(rig.dir, version, 'vs.yaml'), virtualService('a', weight));
      await symlink(version, join(rig.dir, '..data_tmp'));
      await rename(join(rig.dir, '..data_tmp'), join(rig.dir, '..data'));
    };
    await volume('..2026_01', 10);
    await symlink('..data/vs.yaml', join(rig.dir, 'vs.yaml'));
    await rig.start();
    expect(weightOf(rig.store.state(), 'a')).toBe(10);
    await volume('..2026_02', 20);
    await rm(join(rig.dir, '..2026_01'), { recursive: true });
    await rig.until('weight 20', (state) => weightOf(state, 'a') === 20);
    await volume('..2026_03', 30);
    await rig.until('weight 30', (state) => weightOf(state, 'a') === 30);
  });

  it('follows a link whose target is written outside of the folder', async () => {
    const rig = await folderRig({});
    open.push(rig);
    const elsewhere = join(dirname(rig.dir), 'elsewhere');
    await mkdir(elsewhere);
    await writeFile(join(elsewhere, 'real.yaml'), virtualService('a', 1));
    await symlink(join(elsewhere, 'real.yaml'), join(rig.dir, 'a.yaml'));
    await rig.start();
    await writeFile(join(elsewhere, 'real.yaml'), virtualService('a', 2));
    await rig.until('weight 2', (state) => weightOf(state, 'a') === 2);
  });

  it('keeps everything while the folder is away and compares when another takes its place', async () => {
    const rig = await rigOf({ 'a.yaml': virtualService('a'), 'b.yaml': virtualService('b') });
    await rename(rig.dir, `${rig.dir}.old`);
    const away = await rig.until('finding about the folder', (state) =>
      state.findings.some((finding) => finding.code === 'MEL0011'),
    );
    expect(away.byKind.VirtualService.size).toBe(2);
    await mkdir(`${rig.dir}.new`);
    await writeFile(join(`${rig.dir}.new`, 'a.yaml'), virtualService('a', 5));
    await rename(`${rig.dir}.new`, rig.dir);
    const back = await rig.until(
      'the new folder',
      (state) => weightOf(state, 'a') === 5 && state.byKind.VirtualService.size === 1,
    );
    expect(back.findings).toEqual([]);
    await rig.write('c.yaml', virtualService('c', 6));
    await rig.until('hints of the new folder', (state) => weightOf(state, 'c') === 6);
  });

  it('finds changes by sweeping when no hint comes', async () => {
    const rig = await rigOf(
      { 'a.yaml': virtualService('a') },
      { sweepMs: 20, watch: () => ({ close: () => undefined }) },
    );
    await rig.put('a.yaml', virtualService('a', 15));
    await rig.until('weight 15', (state) => weightOf(state, 'a') === 15);
    await rig.remove('a.yaml');
    await rig.until('a is gone', (state) => weightOf(state, 'a') === undefined);
  });

  it('survives loops of links', async () => {
    const rig = await folderRig({ 'sub/a.yaml': virtualService('a') });
    open.push(rig);
    await symlink(rig.dir, join(rig.dir, 'sub', 'up'));
    await rig.start();
    expect(rig.store.state().byKind.VirtualService.size).toBe(1);
  });
});

describe('what can not be used', () => {
  it('a syntax error leaves the other documents served and the broken one at its last good version', async () => {
    const rig = await rigOf({ 'a.yaml': `${virtualService('a')}---\n${virtualService('b')}` });
    await rig.put(
      'a.yaml',
      `${virtualService('a', 10)}---\n${virtualService('b').replace('hosts: [b]', 'hosts: [b')}---\n${virtualService('c', 30)}`,
    );
    const state = await rig.until('c', (now) => weightOf(now, 'c') === 30);
    expect([weightOf(state, 'a'), weightOf(state, 'b')]).toEqual([10, 100]);
    expect(state.findings).toMatchObject([{ code: 'MEL0002', severity: 'error' }]);
    // The document begins at line 14; the parser stumbles behind the line with the open bracket.
    expect(state.findings[0]?.origin).toMatch(/^a\.yaml:(2[0-9]):\d+$/);
    await rig.put('a.yaml', `${virtualService('a', 10)}---\n${virtualService('b', 20)}`);
    const mended = await rig.until('b mended', (now) => weightOf(now, 'b') === 20);
    expect(mended.findings).toEqual([]);
    expect(weightOf(mended, 'c')).toBeUndefined();
  });

  it('findings of a document follow it when lines are put above it', async () => {
    const bad = virtualService('b').replace('weight: 100', 'weight: -1');
    const rig = await rigOf({ 'a.yaml': `${virtualService('a')}---\n${bad}` });
    expect(rig.store.state().findings.map(({ origin }) => origin)).toEqual(['a.yaml:25:7']);
    await rig.put('a.yaml', `# one\n# two\n${virtualService('a')}---\n${bad}`);
    await rig.until('moved', (state) => state.findings[0]?.origin === 'a.yaml:27:7');
  });

  it('a broken document that names nothing keeps what vanished', async () => {
    const rig = await rigOf({ 'a.yaml': virtualService('a') });
    await rig.put('a.yaml', '{{{{');
    const state = await rig.until('a finding', (now) => now.findings.length > 0);
    expect(weightOf(state, 'a')).toBe(100);
  });

  it('a wrong type is told with its path and place, and the last good version stays', async () => {
    const rig = await rigOf({ 'a.yaml': virtualService('a'), 'b.yaml': virtualService('b') });
    await rig.put('a.yaml', virtualService('a').replace('weight: 100', 'weight: "many"'));
    const state = await rig.until('a finding', (now) => now.findings.length > 0);
    expect(state.findings).toMatchObject([
      {
        severity: 'error',
        code: 'IST0106',
        ref: { kind: 'VirtualService', namespace: 'default', name: 'a' },
        origin: 'a.yaml:11:7',
        path: 'spec.http[0].route[0].weight',
        expected: 'an integer',
      },
    ]);
    expect([weightOf(state, 'a'), weightOf(state, 'b')]).toEqual([100, 100]);
    expect(state.held).toMatchObject([{ name: 'a' }]);
  });

  it('weights that add up to nothing, an invalid regex and a bad address are told with their places', async () => {
    const rig = await rigOf({
      'ok.yaml': virtualService('ok'),
      'weights.yaml': virtualService('w').replace('weight: 100', 'weight: 0'),
      'regex.yaml': `${virtualService('r')}    match:\n    - uri: {regex: "a(b"}\n`,
      'slice.yaml': `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s, namespace: shop, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
endpoints:
- addresses: ["10.0.0.1"]
- addresses: ["10.0.0.300"]
`,
    });
    const { findings, byKind } = rig.store.state();
    expect(findings.map(({ severity, origin, path }) => [severity, origin, path])).toEqual([
      ['error', 'slice.yaml:7:15', 'endpoints[1].addresses[0]'],
      ['error', 'regex.yaml:15:13', 'spec.http[0].match[0].uri.regex'],
      ['error', 'weights.yaml:9:5', 'spec.http[0].route'],
    ]);
    expect(byKind.VirtualService.size).toBe(1);
  });

  it('unknown kinds of our groups are errors, others are only noted', async () => {
    const rig = await rigOf({
      'a.yaml': 'apiVersion: networking.istio.io/v1\nkind: VirtualSerice\nmetadata: {name: a}\n',
      'b.yaml': 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n',
      'c.yaml': virtualService('c'),
    });
    const { findings } = rig.store.state();
    expect(findings.map(({ severity, code, origin }) => [severity, code, origin])).toEqual([
      ['error', 'MEL0006', 'a.yaml:2:1'],
      ['info', 'MEL0005', 'b.yaml:1'],
    ]);
    expect(findings[0]?.expected).toContain('VirtualService');
    expect(weightOf(rig.store.state(), 'c')).toBe(100);
  });

  it('of duplicates the first by path is in force; without it the next one takes over', async () => {
    const rig = await rigOf({
      'b.yaml': virtualService('x', 20),
      'a.yaml': `---\n${virtualService('x', 10)}`,
      'c.yaml': virtualService('x', 30),
    });
    const state = rig.store.state();
    expect(weightOf(state, 'x')).toBe(10);
    expect(state.findings.map(({ code, origin, message }) => [code, origin, message.includes('a.yaml:2')])).toEqual([
      ['MEL0007', 'b.yaml:1', true],
      ['MEL0007', 'c.yaml:1', true],
    ]);
    await rig.remove('a.yaml');
    const next = await rig.until('b in force', (now) => weightOf(now, 'x') === 20);
    expect(next.findings.map(({ origin }) => origin)).toEqual(['c.yaml:1']);
  });

  it('a file above the limit is refused unread, its last good version stays', async () => {
    const rig = await rigOf({ 'a.yaml': virtualService('a'), 'b.yaml': virtualService('b') });
    // Sparse: 50 MB that take no room.
    await truncate(join(rig.dir, 'a.yaml'), 50 * 1024 * 1024);
    const state = await rig.until('a finding', (now) => now.findings.length > 0);
    expect(state.findings).toMatchObject([{ code: 'MEL0003', origin: 'a.yaml', expected: 'at most 16777216 bytes' }]);
    expect(weightOf(state, 'a')).toBe(100);
    await rig.put('b.yaml', virtualService('b', 5));
    await rig.until('others are served', (now) => weightOf(now, 'b') === 5);
    await rig.put('a.yaml', virtualService('a', 7));
    const mended = await rig.until('a mended', (now) => weightOf(now, 'a') === 7);
    expect(mended.findings).toEqual([]);
  });

  it('files that vanish while they are read harm nothing', async () => {
    const rig = await rigOf({ 'keep.yaml': virtualService('keep') });
    for (let round = 0; round < 20; round++) {
      await rig.write('flicker.yaml', virtualService('flicker', round));
      await rm(join(rig.dir, 'flicker.yaml'), { force: true });
    }
    await rig.put('keep.yaml', virtualService('keep', 1));
    const state = await rig.until(
      'flicker is gone',
      (now) => weightOf(now, 'keep') === 1 && weightOf(now, 'flicker') === undefined,
    );
    expect(state.findings).toEqual([]);
  });

  it('a file emptied and written again never drops its objects', async () => {
    const rig = await rigOf({ 'a.yaml': virtualService('a') });
    const seen: (number | undefined)[] = [];
    rig.store.onChange((state) => seen.push(weightOf(state, 'a')));
    await truncate(join(rig.dir, 'a.yaml'), 0);
    await writeFile(join(rig.dir, 'a.yaml'), virtualService('a', 33));
    await rig.until('weight 33', (state) => weightOf(state, 'a') === 33);
    expect(seen).not.toContain(undefined);
    await truncate(join(rig.dir, 'a.yaml'), 0);
    await rig.until('emptied in earnest', (state) => weightOf(state, 'a') === undefined);
  });

  it('binary content and too many aliases are findings', async () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x,x]',
      ...'bcdefg'.split('').map((k, i) => `${k}: &${k} [${Array(10).fill(`*${'abcdef'[i]}`).join(',')}]`),
    ].join('\n');
    const rig = await folderRig({ 'bomb.yaml': bomb, 'ok.yaml': virtualService('ok') });
    open.push(rig);
    await writeFile(join(rig.dir, 'bin.yaml'), Buffer.from([0xff, 0xfe, 0x00, 0x80, 0xc3, 0x28]));
    await rig.start();
    const { findings } = rig.store.state();
    expect(findings.map(({ code }) => code).sort()).toEqual(['MEL0001', 'MEL0010']);
    expect(weightOf(rig.store.state(), 'ok')).toBe(100);
  });

  it('unknown fields are left out with a warning that names the likely one', async () => {
    const rig = await rigOf({ 'a.yaml': virtualService('a').replace('  hosts:', '  export_to: ["."]\n  hosts:') });
    const state = rig.store.state();
    expect(state.findings).toMatchObject([
      {
        severity: 'warning',
        code: 'MEL0008',
        origin: 'a.yaml:7:3',
        path: 'spec.export_to',
        expected: 'did you mean exportTo?',
      },
    ]);
    expect(weightOf(state, 'a')).toBe(100);
    await untilState(rig.store, 'same state', () => true);
  });
});
