import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Authority, type AuthorityOptions, type AuthorityPorts, openAuthority } from '../../src/ca/authority.ts';
import type { Log, Meter, Timers } from '../../src/lib/ports.ts';

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: object;
}

export function recordingLog(): { readonly log: Log; readonly lines: LogLine[]; text(): string } {
  const lines: LogLine[] = [];
  const write = (level: string) => (fields: object, message: string) => void lines.push({ level, message, fields });
  const log: Log = {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: () => log,
  };
  return { log, lines, text: () => JSON.stringify(lines) };
}

export function recordingMeter(): { readonly meter: Meter; value(name: string, labels?: object): number } {
  const values = new Map<string, number>();
  const key = (name: string, labels: object = {}) => `${name}${JSON.stringify(labels)}`;
  const meter: Meter = {
    counter: (name) => ({
      inc: (labels, by = 1) => void values.set(key(name, labels), (values.get(key(name, labels)) ?? 0) + by),
    }),
    gauge: (name) => ({ set: (value, labels) => void values.set(key(name, labels), value) }),
    histogram: () => ({ observe: () => undefined }),
  };
  return { meter, value: (name, labels) => values.get(key(name, labels)) ?? 0 };
}

/** Timers that fire only when the test moves its clock. */
export interface ManualTime {
  readonly timers: Timers;
  readonly clock: { now(): number };
  advance(ms: number): void;
  readonly pending: () => number;
}

export function manualTime(start = Date.now()): ManualTime {
  let now = start;
  let waiting: { readonly at: number; readonly fn: () => void }[] = [];
  return {
    clock: { now: () => now },
    timers: {
      setTimeout: (fn, ms) => {
        const entry = { at: now + ms, fn };
        waiting.push(entry);
        return () => {
          waiting = waiting.filter((each) => each !== entry);
        };
      },
    },
    advance: (ms) => {
      const until = now + ms;
      for (;;) {
        const next = waiting.filter((each) => each.at <= until).sort((a, b) => a.at - b.at)[0];
        if (next === undefined) break;
        waiting = waiting.filter((each) => each !== next);
        now = Math.max(now, next.at);
        next.fn();
      }
      now = until;
    },
    pending: () => waiting.length,
  };
}

export const realTimers: Timers = {
  setTimeout: (fn, ms) => {
    const timer = setTimeout(fn, ms);
    return () => clearTimeout(timer);
  },
};

const folders: string[] = [];

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'meltemi-test-'));
  folders.push(folder);
  return folder;
}

export function removeFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

export function openssl(args: readonly string[], input = ''): string {
  return execFileSync('openssl', [...args], { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
}

export const describeCertificate = (pem: string): string => openssl(['x509', '-noout', '-text'], pem);

/** `openssl verify` of a response chain: leaf, intermediates, roots. Throws if it does not verify. */
export function verifyChain(chain: readonly string[], at?: number): string {
  const folder = newFolder();
  const [leaf = ''] = chain;
  writeFileSync(join(folder, 'leaf.pem'), leaf);
  writeFileSync(join(folder, 'middle.pem'), chain.slice(1, -1).join(''));
  writeFileSync(join(folder, 'roots.pem'), chain.at(-1) ?? '');
  const middle = chain.length > 2 ? ['-untrusted', join(folder, 'middle.pem')] : [];
  const time = at === undefined ? [] : ['-attime', String(Math.floor(at / 1000))];
  return openssl([
    'verify',
    '-x509_strict',
    ...time,
    '-CAfile',
    join(folder, 'roots.pem'),
    ...middle,
    join(folder, 'leaf.pem'),
  ]);
}

export interface CaRig {
  readonly authority: Authority;
  readonly ports: AuthorityPorts;
  readonly time: ManualTime;
  readonly lines: LogLine[];
  readonly meter: ReturnType<typeof recordingMeter>;
}

export async function newAuthority(options: Partial<AuthorityOptions> = {}, time = manualTime()): Promise<CaRig> {
  const { log, lines } = recordingLog();
  const meter = recordingMeter();
  const ports = { clock: time.clock, timers: time.timers, log, meter: meter.meter };
  const authority = await openAuthority({ trustDomain: 'cluster.local', ...options }, ports);
  return { authority, ports, time, lines, meter };
}

/** The bundle of a plug-in CA made by OpenSSL: a root and one intermediate that signs. */
export interface PluggedFiles {
  readonly directory: string;
  readonly root: string;
  readonly rootKeyPath: string;
  readonly rootPath: string;
}

export function writePluggedCa(
  directory: string,
  rootName = 'Root A',
  extra: { readonly root?: PluggedFiles } = {},
): PluggedFiles {
  const work = newFolder();
  const path = (name: string) => join(work, name);
  const rootPath = extra.root?.rootPath ?? path('root.pem');
  const rootKeyPath = extra.root?.rootKeyPath ?? path('root.key');
  if (extra.root === undefined) {
    openssl([
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '3650',
      '-keyout',
      rootKeyPath,
      '-out',
      rootPath,
      '-subj',
      `/O=Example/CN=${rootName}`,
      '-addext',
      'keyUsage=critical,keyCertSign,cRLSign',
      '-addext',
      'basicConstraints=critical,CA:TRUE',
    ]);
  }
  openssl([
    'req',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    path('ca.key'),
    '-out',
    path('ca.csr'),
    '-subj',
    '/O=Example/CN=Intermediate',
  ]);
  writeFileSync(
    path('ext'),
    'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n',
  );
  openssl([
    'x509',
    '-req',
    '-in',
    path('ca.csr'),
    '-CA',
    rootPath,
    '-CAkey',
    rootKeyPath,
    '-CAcreateserial',
    '-days',
    '365',
    '-extfile',
    path('ext'),
    '-out',
    path('ca.pem'),
  ]);
  const root = openssl(['x509', '-in', rootPath]);
  const ca = openssl(['x509', '-in', path('ca.pem')]);
  writeFileSync(join(directory, 'ca-cert.pem'), ca);
  writeFileSync(join(directory, 'ca-key.pem'), openssl(['pkey', '-in', path('ca.key')]));
  writeFileSync(join(directory, 'cert-chain.pem'), ca + root);
  writeFileSync(join(directory, 'root-cert.pem'), root);
  return { directory, root, rootKeyPath, rootPath };
}
