import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, credentials, Metadata, type StatusObject } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encode } from '../../src/codec/index.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { type LocalControlPlane, startLocalControlPlane, TestFolder, trustBundle } from '../support/server.ts';

const METHOD = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
const bytes = (value: Buffer): Buffer => value;

describe('who gets configuration', () => {
  const folder = new TestFolder();
  let plane: LocalControlPlane;
  beforeAll(async () => {
    folder.write('nothing', '');
    plane = await startLocalControlPlane(folder);
  });
  afterAll(async () => {
    await plane?.stop();
    folder.delete();
  });

  async function token(namespace: string, account: string): Promise<string> {
    const file = join(folder.path, `token-${namespace}-${account}`);
    await folder.token(namespace, account, file);
    return readFileSync(file, 'utf8');
  }

  /** Asks for clusters as a proxy; resolves to 'served', or to the status of the refusal. */
  function ask(
    address: string,
    tls: boolean,
    bearer?: string,
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    const channel = tls ? credentials.createSsl(Buffer.from(trustBundle(folder))) : credentials.createInsecure();
    const client = new Client(address, channel, { 'grpc.ssl_target_name_override': 'istiod.istio-system.svc' });
    const headers = new Metadata();
    if (bearer !== undefined) headers.set('authorization', `Bearer ${bearer}`);
    const node = { id: 'sidecar~10.0.0.1~web-0.shop~shop.svc.cluster.local', metadata };
    return new Promise<string>((resolve) => {
      const stream = client.makeBidiStreamRequest(METHOD, bytes, bytes, headers, {});
      stream.on('data', () => resolve('served'));
      stream.on('error', () => undefined);
      stream.on('status', ({ code, details }: StatusObject) => resolve(`${code} ${details}`));
      stream.write(
        Buffer.from(encode('envoy.service.discovery.v3.DeltaDiscoveryRequest', { node, typeUrl: TYPE_URL.cluster })),
      );
    }).finally(() => client.close());
  }

  it('over TLS: who proves to be of the namespace that the node names', async () => {
    const { discoveryAddress: at } = plane;
    expect(await ask(at, true)).toMatch(/^16 /);
    expect(await ask(at, true, 'nonsense')).toMatch(/^16 /);
    expect(await ask(at, true, await token('shop', 'web'))).toBe('served');
    expect(await ask(at, true, await token('other', 'web'))).toMatch(/^7 .*namespace shop/);
    expect(await ask(at, true, await token('shop', 'web'), { SERVICE_ACCOUNT: 'admin' })).toMatch(/^7 /);
    expect(await ask(at, true, await token('shop', 'web'), { NAMESPACE: 'other' })).toMatch(/^7 /);
  });

  it('in plaintext: anyone, but without secrets', async () => {
    expect(await ask(`127.0.0.1:${plane.server.addresses.grpc?.port}`, false)).toBe('served');
  });
});
