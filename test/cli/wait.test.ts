import { afterAll, beforeAll, expect, it } from 'vitest';
import { TYPE_URL } from '../../src/ir/draft.ts';
import type { Applied } from '../../src/plane/applied.ts';
import { until } from '../support/wait.ts';
import { type CommandMesh, commandMesh, istio, kubeService, sidecarNode, slice } from './mesh.ts';

let mesh: CommandMesh;
let refusing = false;

const rule = (simple: string, generation: number): object => ({
  ...istio('DestinationRule', 'web', { host: 'web', trafficPolicy: { loadBalancer: { simple } } }),
  metadata: { name: 'web', namespace: 'shop', generation },
});

beforeAll(async () => {
  mesh = await commandMesh([
    kubeService('web', '10.96.0.1'),
    slice('web', '10.0.0.5'),
    istio('Sidecar', 'apart', { egress: [{ hosts: ['./*'] }] }, 'side'),
  ]);
  const verdict = ({ typeUrl }: { readonly typeUrl: string }): string | undefined =>
    refusing && typeUrl === TYPE_URL.cluster ? 'no such balancer' : undefined;
  await mesh.connect(sidecarNode('one', 'shop', '10.0.0.8', {}));
  await mesh.connect(sidecarNode('two', 'shop', '10.0.0.9', {}), verdict);
  await mesh.connect(sidecarNode('apart', 'side', '10.0.1.9', {}));
});

afterAll(() => mesh.stop());

const wait = (...args: string[]): ReturnType<CommandMesh['meltemi']> => mesh.meltemi('wait', '--for=applied', ...args);

it('waits until the proxies that an object concerns have taken it, and those alone', async () => {
  mesh.folder.write('rule', [rule('RANDOM', 7)]);
  const waited = await wait('destinationrule/web.shop', '--generation', '7');
  expect(waited).toEqual({ code: 0, out: 'destinationrule/web.shop applied: 2 of 2 proxies\n', err: '' });
  expect(await wait('service/web.shop')).toMatchObject({ code: 0 });
  expect(await wait('Sidecar/apart.side')).toMatchObject({
    code: 0,
    out: 'Sidecar/apart.side applied: 1 of 1 proxies\n',
  });
});

it('says who refused it, and why', async () => {
  refusing = true;
  mesh.folder.write('rule', [rule('ROUND_ROBIN', 8)]);
  const refused = await wait('destinationrules/web.shop', '--generation', '8');
  expect(refused).toMatchObject({
    code: 1,
    err: expect.stringMatching(/refused by 1 proxies; two\.shop: no such balancer/),
  });
  const page = async (): Promise<Applied> =>
    (await mesh.plane.debug('convergence?object=destinationrule/shop/web')) as Applied;
  await until(async () => (await page()).taken === 1, 'the other proxy');
});

it('gives up in time', async () => {
  const late = await wait('destinationrule/web.shop', '--generation', '99', '--timeout', '0s');
  expect(late).toMatchObject({ code: 1, err: expect.stringContaining('not applied within 0s: its generation is 8') });
  const none = await wait('destinationrule/none.shop', '--timeout', '0s');
  expect(none).toMatchObject({ code: 1, err: expect.stringContaining('there is no destinationrule/shop/none') });
});

it.each([
  [['wait', 'service/web.shop', '--for=ready'], 64],
  [['wait', 'web', '--for=applied'], 64],
  [['wait', 'service/web', '--for=applied', '--timeout', 'soon'], 64],
])('%j is an error', async (args, code) => {
  expect((await mesh.meltemi(...args)).code).toBe(code);
});
