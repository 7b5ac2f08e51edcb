import { describe, expect, it } from 'vitest';
import { buildRegistry } from '../../src/registry/registry.ts';
import { node, service, tables } from '../support/builders.ts';
import { codes, OPTIONS, registryOf } from './support.ts';

const labels = { 'topology.istio.io/network': 'n1' };
const HOST = 'ew.istio-system.svc.cluster.local';
const ew = (options: Parameters<typeof service>[1]) =>
  service('ew', { namespace: 'istio-system', ports: ['tls:15443'], ...options });

describe('network gateways', () => {
  it('come from the mesh networks', () => {
    const { networks } = registryOf([], {
      networks: {
        n2: { gateways: [{ address: '2.2.2.2', port: 15443 }, { address: '1.1.1.1' }] },
        n1: { gateways: [{ address: 'gw.example.org', port: 443 }, {}] },
      },
    });
    expect(networks.all.map((each) => `${each.network} ${each.address}:${each.port}`)).toEqual([
      'n2 1.1.1.1:15443',
      'n2 2.2.2.2:15443',
      'n1 gw.example.org:443',
    ]);
    expect([...networks.gateways.keys()].sort()).toEqual(['n1', 'n2']);
  });

  it.each([
    [
      'load balancer',
      { ingress: [{ ip: '9.9.9.9' }, { hostname: 'lb.org' }], externalIPs: ['8.8.8.8'] },
      ['9.9.9.9:15443', 'lb.org:15443'],
    ],
    ['external IPs', { externalIPs: ['8.8.8.8'] }, ['8.8.8.8:15443']],
    [
      'port label',
      { labels: { ...labels, 'networking.istio.io/gatewayPort': '443' }, externalIPs: ['8.8.8.8'] },
      ['8.8.8.8:443'],
    ],
  ])('come from labelled Services by %s', (_how, options, expected) => {
    const { networks } = registryOf([ew({ labels, ...options })]);
    expect(networks.all.map((each) => `${each.address}:${each.port}`)).toEqual(expected);
    expect(networks.gateways.get('n1@Kubernetes')).toEqual(networks.gateways.get('n1'));
  });

  it('come from nodes for node ports, and follow them', () => {
    const gateway = ew({
      type: 'NodePort',
      labels,
      ports: [{ name: 'tls', port: 15443, protocol: 'TCP', nodePort: 30443 }],
      annotations: { 'traffic.istio.io/nodeSelector': '{"edge":"yes"}' },
    });
    const edge = (name: string, address: string, type = 'ExternalIP') =>
      node(name, {
        labels: { edge: 'yes' },
        addresses: [
          { type: 'InternalIP', address: '10.1.1.1' },
          { type, address },
        ],
      });
    const input = tables(
      gateway,
      edge('a', '5.5.5.5'),
      node('b', { addresses: [{ type: 'ExternalIP', address: '6.6.6.6' }] }),
    );
    const first = buildRegistry(undefined, input, OPTIONS);
    expect(first.networks.all).toMatchObject([{ address: '5.5.5.5', port: 30443 }]);
    const second = buildRegistry(first, input.with(edge('a', '7.7.7.7')), OPTIONS);
    expect(second.networks.all).toMatchObject([{ address: '7.7.7.7' }]);
    const third = buildRegistry(second, input.with(edge('a', 'x', 'Hostname')), OPTIONS);
    expect(third.networks.all).toMatchObject([{ address: '10.1.1.1' }]);
  });

  it('come from a Service that the mesh networks name', () => {
    const networks = { n3: { gateways: [{ registryServiceName: HOST, port: 15443 }] } };
    const registry = registryOf([ew({ ingress: [{ ip: '9.9.9.9' }] })], { networks });
    expect(registry.networks.gateways.get('n3@Kubernetes')).toEqual([
      { network: 'n3', clusterId: 'Kubernetes', address: '9.9.9.9', port: 15443 },
    ]);
  });

  it('tell when a gateway has no address', () => {
    expect(codes(registryOf([ew({ labels })]))).toEqual(['MEL0113']);
  });

  it('keep their identity while they are equal, and go when the label goes', () => {
    const input = tables(ew({ labels, externalIPs: ['8.8.8.8'] }));
    const first = buildRegistry(undefined, input, OPTIONS);
    const second = buildRegistry(first, input.with(service('web')), OPTIONS);
    expect(second.networks).toBe(first.networks);
    const third = buildRegistry(second, input.with(ew({ labels, externalIPs: ['8.8.8.8'], created: 7 })), OPTIONS);
    expect(third.networks).toBe(first.networks);
    const fourth = buildRegistry(third, input.with(ew({ externalIPs: ['8.8.8.8'] })), OPTIONS);
    expect(fourth.networks.all).toEqual([]);
    expect(fourth.networks.gateways.size).toBe(0);
  });
});
