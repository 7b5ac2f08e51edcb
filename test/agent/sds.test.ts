import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SecretSource, WorkloadSecret } from '../../src/agent/certificate-sources.ts';
import { WorkloadCertificates } from '../../src/agent/certificates.ts';
import { sameBytes } from '../support/raw-grpc.ts';
import { serveSecrets } from '../../src/agent/sds.ts';
import { parseSecretName, secretTable } from '../../src/agent/secrets.ts';
import type { SocketServer } from '../../src/grpc/socket-server.ts';
import { decode, encode } from '../../src/codec/index.ts';
import { newFolder, realTimers, recordingLog, recordingMeter, removeFolders } from '../ca/support.ts';
import { configOf, eventually, systemClock } from './support.ts';

afterAll(removeFolders);

const SERVICE = '/envoy.service.secret.v3.SecretDiscoveryService';

interface Got {
  readonly name: string;
  readonly text: string;
}

/** The inline contents of a Secret, certificate chain or roots. */
function readSecret(json: unknown): Got {
  const secret = json as {
    name: string;
    tlsCertificate?: { certificateChain: { inlineBytes: string } };
    validationContext?: { trustedCa: { inlineBytes: string } };
  };
  const bytes =
    secret.tlsCertificate?.certificateChain.inlineBytes ?? secret.validationContext?.trustedCa.inlineBytes ?? '';
  return { name: secret.name, text: Buffer.from(bytes, 'base64').toString() };
}

class Mailbox<T> {
  #waiting: ((value: T) => void)[] = [];
  readonly got: T[] = [];
  put(value: T): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.got.push(value);
    else next(value);
  }
  take(): Promise<T> {
    const value = this.got.shift();
    return value === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(value);
  }
}

describe('SDS over a unix socket', () => {
  let server: SocketServer;
  let client: grpc.Client;
  let certificates: WorkloadCertificates;
  let roots = 'roots 1';
  let made = 0;
  const log = recordingLog();
  const meter = recordingMeter();
  const folder = newFolder();

  beforeEach(async () => {
    roots = 'roots 1';
    made = 0;
    const source: SecretSource = {
      kind: 'authority',
      obtain: async (): Promise<WorkloadSecret> => {
        made++;
        return {
          certificatePem: `chain ${made}`,
          keyPem: `key ${made}`,
          rootsPem: roots,
          notBefore: Date.now(),
          notAfter: Date.now() + 3600_000,
        };
      },
    };
    certificates = new WorkloadCertificates(source, configOf().certificates, {
      clock: systemClock,
      timers: realTimers,
      random: Math.random,
      log: log.log,
      meter: meter.meter,
    });
    const socket = join(newFolder(), 'SDS');
    server = await serveSecrets(socket, secretTable(certificates, realTimers), {
      log: log.log,
      meter: meter.meter,
      timers: realTimers,
    });
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure());
  });
  afterEach(() => {
    client.close();
    server.close();
    certificates.close();
  });

  function sotw() {
    const call = client.makeBidiStreamRequest(`${SERVICE}/StreamSecrets`, sameBytes, sameBytes);
    call.on('error', () => undefined);
    const box = new Mailbox<{ nonce: string; version: string; secrets: Got[] }>();
    call.on('data', (bytes: Buffer) => {
      const {
        nonce = '',
        versionInfo: version = '',
        resources = [],
      } = decode('envoy.service.discovery.v3.DiscoveryResponse', bytes);
      box.put({ nonce, version, secrets: resources.map(readSecret) });
    });
    const send = (request: Parameters<typeof encode<'envoy.service.discovery.v3.DiscoveryRequest'>>[1]) =>
      void call.write(Buffer.from(encode('envoy.service.discovery.v3.DiscoveryRequest', request)));
    return { call, box, send };
  }

  function delta() {
    const call = client.makeBidiStreamRequest(`${SERVICE}/DeltaSecrets`, sameBytes, sameBytes);
    call.on('error', () => undefined);
    const box = new Mailbox<{ nonce: string; secrets: Got[]; versions: string[] }>();
    call.on('data', (bytes: Buffer) => {
      const { nonce = '', resources = [] } = decode('envoy.service.discovery.v3.DeltaDiscoveryResponse', bytes);
      const list = resources as readonly { resource: unknown; version: string }[];
      box.put({
        nonce,
        secrets: list.map((each) => readSecret(each.resource)),
        versions: list.map((each) => each.version),
      });
    });
    const send = (request: Parameters<typeof encode<'envoy.service.discovery.v3.DeltaDiscoveryRequest'>>[1]) =>
      void call.write(Buffer.from(encode('envoy.service.discovery.v3.DeltaDiscoveryRequest', request)));
    return { call, box, send };
  }

  it('waits for the first certificate, then pushes every rotation', async () => {
    const stream = sotw();
    stream.send({ resourceNames: ['default'] });
    const rootStream = sotw();
    rootStream.send({ resourceNames: ['ROOTCA'] });
    await certificates.start();
    const first = await stream.box.take();
    expect(first.secrets).toEqual([{ name: 'default', text: 'chain 1' }]);
    expect((await rootStream.box.take()).secrets).toEqual([{ name: 'ROOTCA', text: 'roots 1' }]);
    stream.send({ resourceNames: ['default'], responseNonce: first.nonce, versionInfo: first.version });

    await certificates.renew();
    const second = await stream.box.take();
    expect(second.secrets).toEqual([{ name: 'default', text: 'chain 2' }]);
    expect(second.nonce).not.toBe(first.nonce);
    stream.send({ resourceNames: ['default'], responseNonce: second.nonce, versionInfo: second.version });

    roots = 'roots 2';
    await certificates.renew();
    expect((await stream.box.take()).secrets).toEqual([{ name: 'default', text: 'chain 3' }]);
    expect((await rootStream.box.take()).secrets).toEqual([{ name: 'ROOTCA', text: 'roots 2' }]);
    expect(rootStream.box.got).toEqual([]);
    stream.call.cancel();
    rootStream.call.cancel();
  });

  it('adds to and takes from a stream what the request says', async () => {
    await certificates.start();
    const stream = sotw();
    stream.send({ resourceNames: ['default'] });
    const first = await stream.box.take();
    stream.send({ resourceNames: ['default', 'ROOTCA'], responseNonce: first.nonce });
    const second = await stream.box.take();
    expect(second.secrets.map(({ name }) => name)).toEqual(['default', 'ROOTCA']);
    stream.send({ resourceNames: ['ROOTCA'], responseNonce: second.nonce });
    stream.send({ resourceNames: ['ROOTCA', 'builtin://'], responseNonce: second.nonce });
    expect((await stream.box.take()).secrets.map(({ name }) => name)).toEqual(['ROOTCA', 'builtin://']);
    stream.call.cancel();
  });

  it('reports a NACK and does not send the same again', async () => {
    await certificates.start();
    const stream = sotw();
    stream.send({ resourceNames: ['default'] });
    const first = await stream.box.take();
    stream.send({ resourceNames: ['default'], responseNonce: first.nonce, errorDetail: { message: 'bad key' } });
    await eventually(async () => (log.text().includes('bad key') ? true : undefined), 'report');
    expect(meter.value('meltemi_agent_sds_refusals_total')).toBe(1);
    expect(stream.box.got).toEqual([]);
    await certificates.renew();
    expect((await stream.box.take()).secrets).toEqual([{ name: 'default', text: 'chain 2' }]);
    stream.call.cancel();
  });

  it('speaks delta: sends what changed, and nothing that Envoy still has', async () => {
    await certificates.start();
    const stream = delta();
    stream.send({ resourceNamesSubscribe: ['default', 'ROOTCA'] });
    const first = await stream.box.take();
    expect(first.secrets.map(({ text }) => text)).toEqual(['chain 1', 'roots 1']);
    await certificates.renew();
    expect((await stream.box.take()).secrets).toEqual([{ name: 'default', text: 'chain 2' }]);
    stream.call.cancel();

    const again = delta();
    again.send({
      resourceNamesSubscribe: ['default', 'ROOTCA'],
      initialResourceVersions: { ROOTCA: first.versions[1] ?? '', default: 'stale' },
    });
    expect((await again.box.take()).secrets).toEqual([{ name: 'default', text: 'chain 2' }]);
    again.send({ resourceNamesUnsubscribe: ['default'] });
    again.send({ resourceNamesSubscribe: ['ROOTCA'] });
    expect((await again.box.take()).secrets).toEqual([{ name: 'ROOTCA', text: 'roots 1' }]);
    again.call.cancel();
  });

  it('serves files and follows them', async () => {
    const [cert, key, ca] = ['cert.pem', 'key.pem', 'ca.pem'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(cert, 'file chain');
    writeFileSync(key, 'file key');
    const stream = sotw();
    stream.send({ resourceNames: [`file-cert:${cert}~${key}`] });
    expect((await stream.box.take()).secrets[0]?.text).toBe('file chain');
    const rootStream = sotw();
    rootStream.send({ resourceNames: [`file-root:${ca}`] });
    writeFileSync(ca, 'file roots');
    expect((await rootStream.box.take()).secrets[0]?.text).toBe('file roots');
    writeFileSync(cert, 'file chain 2');
    expect((await stream.box.take()).secrets[0]?.text).toBe('file chain 2');
    const system = sotw();
    system.send({ resourceNames: ['file-root:system'] });
    expect((await system.box.take()).secrets[0]?.text).toContain('BEGIN CERTIFICATE');
    for (const each of [stream, rootStream, system]) each.call.cancel();
  });

  it('forgets streams that ended', async () => {
    let watches = 0;
    const table = {
      get: async (name: string) => ({ json: { name }, version: '1' }),
      watch: () => {
        watches++;
        return () => void watches--;
      },
    };
    const socket = join(newFolder(), 'SDS');
    const counted = await serveSecrets(socket, table, { log: log.log, meter: meter.meter, timers: realTimers });
    const own = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure());
    const one = (end: 'cancel' | 'end') =>
      new Promise<void>((resolve) => {
        const call = own.makeBidiStreamRequest(`${SERVICE}/StreamSecrets`, sameBytes, sameBytes);
        call.on('error', () => undefined);
        call.on('status', () => resolve());
        call.on('data', () => void call[end]());
        const request = { resourceNames: ['default', 'ROOTCA'] };
        call.write(Buffer.from(encode('envoy.service.discovery.v3.DiscoveryRequest', request)));
      });
    for (let round = 0; round < 10; round++) {
      await Promise.all(Array.from({ length: 50 }, (_, at) => one(at % 2 === 0 ? 'cancel' : 'end')));
    }
    await eventually(async () => (watches === 0 ? true : undefined), 'no watches');
    own.close();
    counted.close();
  });

  it('survives bytes that are no request', async () => {
    await certificates.start();
    const stream = sotw();
    const ended = new Promise<grpc.StatusObject>((resolve) => stream.call.on('status', resolve));
    stream.call.write(Buffer.from([0xff, 0xff, 0xff]));
    expect((await ended).code).toBe(grpc.status.INVALID_ARGUMENT);
    const next = sotw();
    next.send({ resourceNames: ['default'] });
    expect((await next.box.take()).secrets).toHaveLength(1);
    next.call.cancel();
  });
});

describe('parseSecretName', () => {
  it.each([
    ['default', { kind: 'workload' }],
    ['ROOTCA', { kind: 'roots' }],
    ['builtin://-cacert', { kind: 'roots' }],
    ['file-cert:/a~/b', { kind: 'file-pair', certificate: '/a', key: '/b' }],
    ['file-root:/a', { kind: 'file-roots', path: '/a' }],
    ['file-root:system', { kind: 'system-roots' }],
    ['file-cert:/a', { kind: 'unknown' }],
    ['kubernetes://x', { kind: 'unknown' }],
  ])('%s', (name, parsed) => {
    expect(parseSecretName(name)).toEqual(parsed);
  });
});
