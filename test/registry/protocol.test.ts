import { describe, expect, it } from 'vitest';
import { kubePortProtocol } from '../../src/registry/protocol.ts';

describe('kubePortProtocol', () => {
  it.each([
    ['http', {}, 'HTTP'],
    ['http-admin', {}, 'HTTP'],
    ['HTTP-admin', {}, 'HTTP'],
    ['http2', {}, 'HTTP2'],
    ['http2-x', {}, 'HTTP2'],
    ['http_proxy', {}, 'HTTP_PROXY'],
    ['https-x', {}, 'HTTPS'],
    ['grpc', {}, 'GRPC'],
    ['grpc-x', {}, 'GRPC'],
    ['grpc-web', {}, 'GRPC-Web'],
    ['grpc-web-x', {}, 'GRPC-Web'],
    ['tls-x', {}, 'TLS'],
    ['tcp-pg', {}, 'TCP'],
    ['udp-x', {}, 'UDP'],
    ['mongo', {}, 'Mongo'],
    ['redis-x', {}, 'Redis'],
    ['mysql', {}, 'MySQL'],
    ['metrics', {}, 'AUTO'],
    ['', {}, 'AUTO'],
    ['constructor', {}, 'AUTO'],
    ['httpx', {}, 'AUTO'],
    ['smtp', { port: 25 }, 'TCP'],
    ['', { port: 53 }, 'TCP'],
    ['', { port: 3306 }, 'TCP'],
    ['', { port: 27017 }, 'TCP'],
    ['http', { port: 3306 }, 'HTTP'],
    ['http', { protocol: 'UDP' }, 'UDP'],
    ['tcp', { appProtocol: 'http' }, 'HTTP'],
    ['http', { appProtocol: 'tcp' }, 'TCP'],
    ['http', { appProtocol: 'unheard' }, 'AUTO'],
    ['x', { appProtocol: 'kubernetes.io/h2c' }, 'HTTP2'],
    ['x', { appProtocol: 'kubernetes.io/ws' }, 'HTTP'],
    ['x', { appProtocol: 'kubernetes.io/wss' }, 'HTTPS'],
    ['x', { appProtocol: 'GRPC-Web' }, 'GRPC-Web'],
  ])('name "%s" %o is %s', (name, more, expected) => {
    expect(kubePortProtocol({ name, port: 8000, protocol: 'TCP', ...more })).toBe(expected);
  });
});
