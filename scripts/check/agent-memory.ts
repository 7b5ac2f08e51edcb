// What a sidecar's agent costs: a control plane with the sample mesh, an agent as the image starts it under the image's Node, a
// real Envoy, and the resident memory of the agent a while after all is quiet. Fails above the limit. `--node FILE` measures
// under another Node.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { findEnvoy } from '../../src/cli/envoy-binary.ts';
import { call } from '../../test/support/apps.ts';
import { freePorts, pause, until } from '../../test/support/wait.ts';
import { installNode } from './node-binary.ts';

/** 60 MB, in MiB. */
const LIMIT = 57.2;
/** Quiet time before memory is read. */
const IDLE_MS = 20_000;
const HOST = '127.0.0.1';

const envoy = findEnvoy({ env: process.env });
if (envoy === undefined) throw new Error('no Envoy: run `npx meltemi envoy install`, or set ENVOY');
const home = process.cwd();
const work = mkdtempSync(join(tmpdir(), 'meltemi-agent-'));
const at = process.argv.indexOf('--node');
const node = at < 0 ? installNode(imageVersion(), work) : resolve(process.argv[at + 1] ?? '');
const [xds = 0, tls = 0, http = 0, status = 0, admin = 0, health = 0, prometheus = 0, dns = 0] = await freePorts(8);
const state = join(work, 'state');
const env = {
  ...process.env,
  PATH: `${dirname(node)}${delimiter}${process.env['PATH'] ?? ''}`,
  MELTEMI_HOME: home,
  INSTANCE_IP: HOST,
  POD_NAME: 'reviews-v1',
  POD_NAMESPACE: 'bookinfo',
  SERVICE_ACCOUNT: 'reviews',
  ISTIO_META_DNS_CAPTURE: 'true',
  ISTIO_META_INTERCEPTION_MODE: 'NONE',
  PROXY_CONFIG: '{"terminationDrainDuration":"0s"}',
};
const control = spawn(
  node,
  [
    ...[join(home, 'dist/main.js'), 'serve', '--configDir', join(home, 'samples/bookinfo'), '--stateDir', state],
    ...['--grpcAddr', `${HOST}:${xds}`, '--secureGRPCAddr', `${HOST}:${tls}`, '--httpAddr', `${HOST}:${http}`],
    ...['--httpsAddr', '', '--monitoringAddr', '', '--caDir', join(work, 'no-ca')],
  ],
  { cwd: work, stdio: ['ignore', 'ignore', 'inherit'] },
);
const answers = (port: number, path: string) => async (): Promise<boolean> =>
  (await call({ address: HOST, port, path })).status === 200;
let agent: ReturnType<typeof spawn> | undefined;
try {
  await until(answers(http, '/ready'), 'the control plane', 30_000);
  const mint = [join(home, 'dist/main.js'), 'token', 'bookinfo/reviews', '--stateDir', state];
  writeFileSync(join(work, 'token'), execFileSync(node, mint, { encoding: 'utf8' }));
  agent = spawn(
    join(home, 'image/meltemi'),
    [
      ...['agent', 'sidecar', '--discoveryAddress', `${HOST}:${tls}`, '--rootFile', join(state, 'root-cert.pem')],
      ...['--tokenFile', join(work, 'token'), '--runDirectory', work, '--sdsSocket', join(work, 'SDS')],
      ...['--bindAddress', HOST, '--envoyPath', envoy, '--concurrency', '1', '--dnsAddress', `${HOST}:${dns}`],
      ...['--statusPort', `${status}`, '--adminPort', `${admin}`, '--healthPort', `${health}`],
      ...['--prometheusPort', `${prometheus}`],
    ],
    { cwd: work, env, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  await until(answers(health, '/healthz/ready'), 'the proxy', 30_000);
  await pause(IDLE_MS);
  const memory = readFileSync(`/proc/${agent.pid}/status`, 'utf8');
  const mib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(memory)?.[1]) / 1024;
  const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
  console.log(
    `Node ${version}: the agent holds ${mib('VmRSS').toFixed(1)} MiB, of which ${mib('RssAnon').toFixed(1)} MiB are its own` +
      ` and ${mib('RssFile').toFixed(1)} MiB are files that processes of one image share`,
  );
  if (mib('VmRSS') > LIMIT) {
    console.error(`more than ${LIMIT} MiB`);
    process.exitCode = 1;
  }
} finally {
  const ended = agent;
  if (ended !== undefined && ended.exitCode === null && ended.signalCode === null) {
    const gone = new Promise((done) => ended.once('exit', done));
    ended.kill('SIGTERM');
    await gone;
  }
  control.kill('SIGTERM');
  rmSync(work, { recursive: true, force: true });
}

/** Of the image, as the Dockerfile says. */
function imageVersion(): string {
  const version = /^ARG NODE_VERSION=(\d+)$/m.exec(readFileSync('Dockerfile', 'utf8'))?.[1];
  if (version === undefined) throw new Error('Dockerfile: no NODE_VERSION');
  return version;
}
