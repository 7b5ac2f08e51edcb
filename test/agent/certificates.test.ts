import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { caClient } from '../../src/agent/ca-client.ts';
import {
  authoritySource,
  chooseSource,
  fileSource,
  type SecretSource,
  type WorkloadSecret,
} from '../../src/agent/certificate-sources.ts';
import { renewalTime, WorkloadCertificates } from '../../src/agent/certificates.ts';
import type { AgentConfig } from '../../src/agent/config.ts';
import type { UpstreamIdentity } from '../../src/agent/upstream.ts';
import { newCsr } from '../../src/ca/csr-request.ts';
import {
  manualTime,
  newAuthority,
  newFolder,
  realTimers,
  recordingLog,
  recordingMeter,
  removeFolders,
  verifyChain,
} from '../ca/support.ts';
import { configOf, type ControlPlane, ID, ownConfig, startControlPlane, systemClock } from './support.ts';

afterAll(removeFolders);

const half = () => 0.5;
const policy = configOf().certificates;

function identityOf(config: AgentConfig, current: UpstreamIdentity['current'] = () => undefined): UpstreamIdentity {
  return {
    tokenFile: config.tokenFile,
    clusterId: 'Kubernetes',
    headers: {},
    providedDirectory: undefined,
    current,
    clock: systemClock,
  };
}

describe('the authority as a source', () => {
  let plane: ControlPlane;
  let config: AgentConfig;
  beforeEach(async () => {
    plane = await startControlPlane();
    config = await ownConfig(plane);
  });
  afterEach(() => plane.stop());

  const clientOf = (identity: UpstreamIdentity) => caClient(config.ca, identity, { timers: realTimers, random: half });

  it.each([{ kind: 'ecdsa' } as const, { kind: 'rsa', bits: 2048 } as const])(
    'gives a key and a chain that belong together ($kind)',
    async (key) => {
      const secret = await authoritySource({ ...config.certificates, key }, clientOf(identityOf(config))).obtain();
      expect(verifyChain([secret.certificatePem, secret.rootsPem])).toContain('OK');
      expect(new X509Certificate(secret.certificatePem).subjectAltName).toBe(`URI:${ID}`);
      expect(secret.rootsPem).toBe(plane.authority.rootBundle);
      const hours = (secret.notAfter - systemClock.now()) / 3600_000;
      expect(hours).toBeGreaterThan(23.9);
      expect(hours).toBeLessThan(24.1);
    },
  );

  it('reads the token anew each time, and shows the certificate once the token is gone or has ended', async () => {
    const first = await authoritySource(config.certificates, clientOf(identityOf(config))).obtain();
    unlinkSync(plane.tokenFile);
    const without = authoritySource(config.certificates, clientOf(identityOf(config)));
    await expect(without.obtain()).rejects.toThrow(/UNAUTHENTICATED/);
    const withCertificate = authoritySource(config.certificates, clientOf(identityOf(config, () => first)));
    expect((await withCertificate.obtain()).certificatePem).not.toBe(first.certificatePem);
    await plane.writeToken(-60);
    expect((await withCertificate.obtain()).certificatePem).not.toBe(first.certificatePem);
    await plane.writeToken(60);
    expect((await without.obtain()).certificatePem).not.toBe(first.certificatePem);
  });

  it('does not retry what will not get better, and retries what may', async () => {
    const delays: number[] = [];
    const timers = {
      setTimeout: (fn: () => void, ms: number) => {
        delays.push(ms);
        fn();
        return () => undefined;
      },
    };
    const client = caClient(config.ca, identityOf(config), { timers, random: half });
    await expect(client.sign('garbage', 60)).rejects.toThrow(/INVALID_ARGUMENT/);
    expect(delays).toEqual([]);
    plane.stop();
    const { csrPem } = await newCsr(ID, { kind: 'ecdsa' });
    await expect(client.sign(csrPem, 60)).rejects.toThrow(/UNAVAILABLE/);
    expect(delays).toEqual([100, 200, 400, 800, 1600]);
  });

  it('hears of new roots in the file that the control plane is trusted by', async () => {
    const source = await chooseSource(config.certificates, { sign: async () => [] }, realTimers, plane.rootFile);
    await new Promise<void>((resolve) => {
      const stop = source.follow?.(() => {
        stop?.();
        resolve();
      });
      const stranger = newAuthority();
      void stranger.then(({ authority }) =>
        writeFileSync(plane.rootFile, plane.authority.rootBundle + authority.rootBundle),
      );
    });
  });

  it('does not talk to a server of another root, nor without roots', async () => {
    const stranger = await newAuthority();
    writeFileSync(plane.rootFile, stranger.authority.rootBundle);
    const timers = { setTimeout: (fn: () => void) => (fn(), () => undefined) };
    const client = caClient(config.ca, identityOf(config), { timers, random: half });
    await expect(client.sign('x', 60)).rejects.toThrow(/UNAVAILABLE/);
    unlinkSync(plane.rootFile);
    await expect(client.sign('x', 60)).rejects.toThrow(
      /roots to verify the control plane by cannot be read from .*root-cert.pem/,
    );
  });

  it('refuses a certificate for another identity', async () => {
    const source = authoritySource(config.certificates, {
      sign: async (csr) => {
        const { authority } = await newAuthority();
        const asked = await newCsr('spiffe://cluster.local/ns/shop/sa/other', { kind: 'ecdsa' });
        return csr === '' ? [] : authority.certify(asked.csrPem, ['spiffe://cluster.local/ns/shop/sa/other'], 60);
      },
    });
    await expect(source.obtain()).rejects.toThrow(/key does not belong/);
    await expect(authoritySource(config.certificates, { sign: async () => ['one'] }).obtain()).rejects.toThrow(
      /answered with 1 elements/,
    );
  });
});

describe('files as a source', () => {
  async function writeSecret(directory: string): Promise<WorkloadSecret> {
    const { authority } = await newAuthority();
    const client = { sign: (csr: string) => authority.certify(csr, [ID], 3600) };
    const secret = await authoritySource(policy, client).obtain();
    writeFileSync(join(directory, 'key.pem'), secret.keyPem);
    writeFileSync(join(directory, 'cert-chain.pem'), secret.certificatePem);
    writeFileSync(join(directory, 'root-cert.pem'), secret.rootsPem);
    return secret;
  }

  it('is chosen when all three are there, and read as one', async () => {
    const directory = newFolder();
    const client = { sign: async () => [] };
    const withFiles = { ...policy, fileDirectories: [directory] };
    expect((await chooseSource(withFiles, client, realTimers)).kind).toBe('authority');
    const secret = await writeSecret(directory);
    const source = await chooseSource(withFiles, client, realTimers);
    expect(source.kind).toBe('files');
    expect(await source.obtain()).toEqual(secret);
  });

  it('waits out a torn swap', async () => {
    const directory = newFolder();
    const old = await writeSecret(directory);
    const next = await writeSecret(directory);
    writeFileSync(join(directory, 'key.pem'), old.keyPem);
    const timers = {
      setTimeout: (fn: () => void) => {
        writeFileSync(join(directory, 'key.pem'), next.keyPem);
        fn();
        return () => undefined;
      },
    };
    expect(await fileSource(directory, timers).obtain()).toEqual(next);
  });

  it('follows changes', async () => {
    const directory = newFolder();
    await writeSecret(directory);
    const { log } = recordingLog();
    const ports = { clock: systemClock, timers: realTimers, random: half, log, meter: recordingMeter().meter };
    const certificates = new WorkloadCertificates(fileSource(directory, realTimers), policy, ports);
    await certificates.start();
    const before = certificates.current;
    const changed = new Promise((resolve) => certificates.onChange(resolve));
    const next = await writeSecret(directory);
    await changed;
    expect(certificates.current).not.toEqual(before);
    expect(certificates.current).toEqual(next);
    certificates.close();
  });
});

describe('WorkloadCertificates', () => {
  const HOUR = 3600_000;

  function rig(random = half) {
    const time = manualTime(Date.now());
    const { log, lines } = recordingLog();
    const meter = recordingMeter();
    const made: WorkloadSecret[] = [];
    let failing = false;
    let roots = 'R1';
    let news: () => void = () => undefined;
    const source: SecretSource = {
      kind: 'authority',
      obtain: async () => {
        if (failing) throw new Error('authority is away');
        const now = time.clock.now();
        const secret = {
          certificatePem: `C${made.length}`,
          keyPem: `K${made.length}`,
          rootsPem: roots,
          notBefore: now,
          notAfter: now + 24 * HOUR,
        };
        made.push(secret);
        return secret;
      },
      follow: (changed) => {
        news = changed;
        return () => undefined;
      },
    };
    const output = newFolder();
    const ports = { ...time, random, log, meter: meter.meter };
    const certificates = new WorkloadCertificates(source, { ...policy, outputDirectory: output }, ports);
    const changes: object[] = [];
    certificates.onChange((change) => changes.push(change));
    return {
      time,
      lines,
      meter,
      made,
      certificates,
      changes,
      output,
      source,
      ports,
      news: () => news(),
      fail: (value: boolean) => void (failing = value),
      useRoots: (value: string) => void (roots = value),
    };
  }

  it('renews at half of the life, give or take the jitter', () => {
    const secret = { certificatePem: '', keyPem: '', rootsPem: '', notBefore: 0, notAfter: 100 * HOUR };
    expect(renewalTime(secret, policy, 0.5)).toBe(50 * HOUR);
    expect(renewalTime(secret, policy, 0)).toBeCloseTo(51 * HOUR, 3);
    expect(renewalTime(secret, policy, 1)).toBeCloseTo(49 * HOUR, 3);
    expect(renewalTime(secret, { ...policy, graceRatio: 1, graceJitter: 1 }, 1)).toBe(0);
  });

  it('rotates when the time has come, pushes roots only if they changed, and writes files', async () => {
    const r = rig();
    await r.certificates.start();
    expect(r.changes).toEqual([{ certificate: true, roots: true }]);
    r.time.advance(12 * HOUR - 1);
    expect(r.made).toHaveLength(1);
    r.time.advance(1);
    await r.certificates.renew();
    expect(r.made).toHaveLength(2);
    expect(r.changes).toEqual([
      { certificate: true, roots: true },
      { certificate: true, roots: false },
    ]);
    r.useRoots('R2');
    r.time.advance(12 * HOUR);
    await r.certificates.renew();
    expect(r.changes.at(-1)).toEqual({ certificate: true, roots: true });
    expect(readFileSync(join(r.output, 'key.pem'), 'utf8')).toBe('K2');
    expect(readFileSync(join(r.output, 'root-cert.pem'), 'utf8')).toBe('R2');
    expect(statSync(join(r.output, 'key.pem')).mode & 0o777).toBe(0o600);
    r.certificates.close();
    expect(r.time.pending()).toBe(0);
  });

  it('asks at once, spread over half a minute, when the roots have news', async () => {
    const r = rig();
    await r.certificates.start();
    r.news();
    r.time.advance(14_999);
    expect(r.made).toHaveLength(1);
    r.time.advance(1);
    await r.certificates.renew();
    expect(r.made).toHaveLength(2);
    r.certificates.close();
  });

  it('goes by the wall clock: a machine that slept through the renewal makes up for it', async () => {
    const r = rig();
    let asleep = 0;
    const clock = { now: () => r.time.clock.now() + asleep };
    const certificates = new WorkloadCertificates(r.source, policy, { ...r.ports, clock });
    await certificates.start();
    asleep = 13 * HOUR;
    r.time.advance(11 * 60_000);
    await certificates.renew();
    expect(r.made).toHaveLength(2);
    certificates.close();
  });

  it('asks once however many ask', async () => {
    const r = rig();
    await Promise.all([r.certificates.start(), r.certificates.renew(), r.certificates.renew()]);
    expect(r.made).toHaveLength(1);
    r.certificates.close();
  });

  it('keeps what it has while the authority is away, says why, and recovers', async () => {
    const r = rig();
    await r.certificates.start();
    r.fail(true);
    r.time.advance(12 * HOUR);
    await r.certificates.renew();
    expect(r.certificates.current?.certificatePem).toBe('C0');
    expect(JSON.stringify(r.lines)).toContain('authority is away');
    expect(r.meter.value('istio_agent_num_failed_outgoing_requests')).toBe(1);
    for (let attempt = 0; attempt < 12; attempt++) {
      r.time.advance(70_000);
      await r.certificates.renew();
    }
    r.fail(false);
    r.time.advance(70_000);
    await r.certificates.renew();
    expect(r.certificates.current?.certificatePem).toBe('C1');
    r.certificates.close();
    expect(r.time.pending()).toBe(0);
  });

  it('counts the seconds that are left', async () => {
    const r = rig();
    await r.certificates.start();
    r.time.advance(HOUR);
    r.certificates.refreshMetrics();
    expect(r.meter.value('istio_agent_cert_expiry_seconds', { resource_name: 'default' })).toBe(23 * 3600);
    r.certificates.close();
  });
});
