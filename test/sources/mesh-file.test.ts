import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { DEFAULT_MESH_CONFIG } from '../../src/config/mesh.ts';
import { meshFiles } from '../../src/sources/mesh-file.ts';
import type { MeshSource } from '../../src/sources/mesh-reading.ts';
import type { MeshSettings } from '../../src/sources/mesh-reading.ts';
import { quietLog, realTimers } from './harness.ts';

const folders: string[] = [];
const running: MeshSource[] = [];

afterEach(async () => {
  for (const files of running.splice(0)) await files.stop();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function folderOf(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'meltemi-mesh-'));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

function watched(folder: string): {
  files: MeshSource;
  readonly next: (fits: (settings: MeshSettings) => boolean) => Promise<MeshSettings>;
} {
  const listeners = new Set<(settings: MeshSettings) => void>();
  const files = meshFiles({
    meshFile: join(folder, 'mesh.yaml'),
    networksFile: join(folder, 'meshNetworks.yaml'),
    log: quietLog,
    timers: realTimers,
    onChange: (settings) => {
      for (const listener of listeners) listener(settings);
    },
  });
  running.push(files);
  return {
    files,
    next: (fits) =>
      new Promise((resolve) => {
        if (fits(files.current())) resolve(files.current());
        else listeners.add((settings) => fits(settings) && resolve(settings));
      }),
  };
}

describe('mesh configuration files', () => {
  it('absent files mean defaults, and are read when they appear', async () => {
    const folder = await folderOf({});
    const { files, next } = watched(folder);
    const first = await files.start();
    expect(first.mesh).toBe(DEFAULT_MESH_CONFIG);
    expect(first.findings).toEqual([]);
    await writeFile(join(folder, 'mesh.yaml'), 'trustDomain: td.example.com\nconnectTimeout: 1m\n');
    const second = await next((settings) => settings.mesh.trustDomain === 'td.example.com');
    expect(second.mesh.connectTimeout).toBe('60s');
    expect(second.mesh.defaultConfig).toBe(first.mesh.defaultConfig);
    await rm(join(folder, 'mesh.yaml'));
    await next((settings) => settings.mesh.trustDomain === 'cluster.local');
  });

  it('keeps the last good values of what is wrong, and tells where', async () => {
    const folder = await folderOf({ 'mesh.yaml': 'trustDomain: a.example.com\nconnectTimeout: 3s\n' });
    const { files, next } = watched(folder);
    await files.start();
    await writeFile(join(folder, 'next'), 'trustDomain: b.example.com\nconnectTimeout: [3]\nnonsense: 1\n');
    await rename(join(folder, 'next'), join(folder, 'mesh.yaml'));
    const wrong = await next((settings) => settings.findings.length === 2);
    expect(wrong.mesh.trustDomain).toBe('b.example.com');
    expect(wrong.mesh.connectTimeout).toBe('3s');
    expect(
      wrong.findings.map(({ severity, code, origin, path }) => [severity, code, origin?.replace(folder, ''), path]),
    ).toEqual([
      ['error', 'MEL0020', '/mesh.yaml:2:1', 'connectTimeout'],
      ['warning', 'MEL0021', '/mesh.yaml:3:1', 'nonsense'],
    ]);
    await writeFile(join(folder, 'mesh.yaml'), 'trustDomain: [unclosed');
    const broken = await next((settings) => settings.findings[0]?.code === 'MEL0022');
    expect(broken.mesh.trustDomain).toBe('b.example.com');
  });

  it('reads networks from their own file', async () => {
    const folder = await folderOf({
      'meshNetworks.yaml':
        'networks:\n  n1:\n    endpoints: [{fromRegistry: Kubernetes}]\n    gateways: [{address: 1.2.3.4, port: 15443}]\n',
    });
    const { files } = watched(folder);
    const { networks, findings } = await files.start();
    expect(networks.networks['n1']?.gateways).toEqual([{ address: '1.2.3.4', port: 15443 }]);
    expect(findings).toEqual([]);
  });

  it('reads both from a mounted ConfigMap manifest, and follows its swap', async () => {
    const folder = await folderOf({});
    const volume = async (version: string, domain: string): Promise<void> => {
      await mkdir(join(folder, version));
      const text = `apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |-
    trustDomain: ${domain}
  meshNetworks: |-
    networks: {n2: {endpoints: [{fromCidr: 10.0.0.0/8}], gateways: []}}
`;
      await writeFile(join(folder, version, 'mesh.yaml'), text);
      await symlink(version, join(folder, 'tmp'));
      await rename(join(folder, 'tmp'), join(folder, '..data'));
    };
    await volume('..1', 'one.example.com');
    await symlink('..data/mesh.yaml', join(folder, 'mesh.yaml'));
    const { files, next } = watched(folder);
    const first = await files.start();
    expect(first.mesh.trustDomain).toBe('one.example.com');
    expect(Object.keys(first.networks.networks)).toEqual(['n2']);
    await volume('..2', 'two.example.com');
    const second = await next((settings) => settings.mesh.trustDomain === 'two.example.com');
    expect(second.networks).toBe(first.networks);
  });
});
