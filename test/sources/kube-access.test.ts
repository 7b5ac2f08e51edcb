// Kubeconfigs: what is read here says the same as the Kubernetes client library, which is loaded for all others.
import { mkdtempSync, writeFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { type KubeAccess, kubeAccess } from '../../src/sources/kube-access.ts';
import { loadKubeconfig } from '../../src/sources/kube-library.ts';

const folder = mkdtempSync(join(tmpdir(), 'meltemi-access-'));
const base64 = (text: string): string => Buffer.from(text).toString('base64');
for (const name of ['ca', 'cert', 'key', 'token']) writeFileSync(join(folder, name), `${name} of a file`);

function fileOf(cluster: object, user: object, context = 'here'): string {
  const path = join(folder, `config-${Math.random()}`);
  const config = {
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': context },
    clusters: [
      { name: 'other', cluster: { server: 'https://other:1' } },
      { name: 'c', cluster },
    ],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'here', context: { cluster: 'c', user: 'u' } }],
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

/** What a request is given, as far as it matters to the server. */
async function given(access: KubeAccess): Promise<object> {
  const options: RequestOptions = { headers: { Accept: 'application/json' } };
  await access.applyToHTTPSOptions(options);
  const { ca, cert, key, auth, servername, rejectUnauthorized = true, headers } = options;
  const text = (value: unknown): string | undefined => (value === undefined ? undefined : String(value));
  return {
    server: access.getCurrentCluster()?.server,
    ...{ ca: text(ca), cert: text(cert), key: text(key), auth, servername, rejectUnauthorized, headers },
  };
}

const SERVER = 'https://example.org:6443';

describe('a kubeconfig', () => {
  it.each([
    ['certificates inside', { 'certificate-authority-data': base64('CA') }, certificates('-data', base64)],
    ['certificates in files', { 'certificate-authority': 'ca' }, certificates('', (name) => name)],
    ['a token', { 'insecure-skip-tls-verify': true }, { token: 'secret' }],
    ['a password', { 'tls-server-name': 'kubernetes' }, { username: 'me', password: 'pass' }],
    ['nothing', {}, {}],
  ])('with %s means the same as to the client library', async (_what, cluster, user) => {
    const path = fileOf({ server: SERVER, ...cluster }, user);
    const access = await kubeAccess(path);
    expect(access).not.toBeInstanceOf(KubeConfig);
    expect(await given(access)).toEqual(await given(loadKubeconfig(path)));
  });

  it('with a token in a file has that token', async () => {
    const access = await kubeAccess(fileOf({ server: SERVER }, { tokenFile: 'token' }));
    expect(await given(access)).toMatchObject({ headers: { Authorization: 'Bearer token of a file' } });
  });

  it.each([
    ['a plugin', {}, { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'login' } }],
    ["another's name", {}, { token: 'secret', as: 'somebody' }],
    ['a proxy', { 'proxy-url': 'http://proxy:3128' }, { token: 'secret' }],
  ])('with %s is left to the client library', async (_what, cluster, user) => {
    expect(await kubeAccess(fileOf({ server: SERVER, ...cluster }, user))).toBeInstanceOf(KubeConfig);
  });

  it('that names no cluster is refused', async () => {
    await expect(kubeAccess(fileOf({ server: SERVER }, {}, 'elsewhere'))).rejects.toThrow('names no cluster');
    await expect(kubeAccess(join(folder, 'absent'))).rejects.toThrow('ENOENT');
  });
});

function certificates(suffix: string, value: (name: string) => string): object {
  return { [`client-certificate${suffix}`]: value('cert'), [`client-key${suffix}`]: value('key') };
}
