// Sidecars whose traffic is captured: the rules of a pod, and `meltemi agent` with a real Envoy in it.

import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { strictEnvoy } from './envoy.ts';
import { type PlacedWorkload, podLabels } from './mesh-objects.ts';
import type { Pod } from './netns.ts';
import type { ControlPlane } from './server.ts';
import { until } from './wait.ts';

const MAIN = 'src/main.ts';
const UID = '1337';

/** Runs `meltemi iptables` in a pod; what it says. */
export function captureTraffic(pod: Pod, ...args: readonly string[]): string {
  return pod.run(process.execPath, ['--import', 'tsx', MAIN, 'iptables', ...args]);
}

/** An agent with its Envoy in a pod, as the user whose traffic is not captured. */
export interface CapturedSidecar {
  readonly log: string[];
  stop(): Promise<void>;
}

export interface CapturedSidecarOptions {
  readonly plane: ControlPlane;
  readonly envoy: string;
  readonly pod: Pod;
  readonly workload: PlacedWorkload;
  readonly mode?: 'REDIRECT' | 'TPROXY' | undefined;
  /** Further environment of the agent. */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

/** Starts `meltemi agent` in a pod; resolves when its Envoy is ready. */
export async function startCapturedSidecar(options: CapturedSidecarOptions): Promise<CapturedSidecar> {
  const { plane, envoy, pod, workload, mode = 'REDIRECT' } = options;
  const { folder, discoveryAddress } = plane;
  const { name, namespace, account } = workload;
  const run = folder.sub(`pod-${name}`);
  mkdirSync(join(run, 'certs'));
  const tokenFile = join(run, 'token');
  await folder.token(namespace, account, tokenFile);
  const env = {
    POD_NAME: name,
    POD_NAMESPACE: namespace,
    SERVICE_ACCOUNT: account,
    INSTANCE_IP: workload.pod,
    ...(workload.secondPod === undefined ? {} : { INSTANCE_IPS: workload.secondPod }),
    ISTIO_META_INTERCEPTION_MODE: mode,
    ISTIO_METAJSON_LABELS: JSON.stringify(podLabels(workload)),
    OUTPUT_CERTS: join(run, 'certs'),
    TERMINATION_DRAIN_DURATION_SECONDS: '0',
    ...options.env,
  };
  const args = [
    ...['--import', 'tsx', MAIN, 'agent', 'sidecar', '--discoveryAddress', discoveryAddress],
    ...[
      '--rootFile',
      folder.rootFile,
      '--tokenFile',
      tokenFile,
      '--runDirectory',
      run,
      '--sdsSocket',
      join(run, 'SDS'),
    ],
    ...['--envoyPath', strictEnvoy(envoy, run), '--concurrency', '1', '--proxyComponentLogLevel', 'misc:warning'],
  ];
  pod.run('chown', ['-R', `${UID}:${UID}`, run]);
  // TPROXY needs root: the rules know the sidecar by its group then. Else it runs as its own user, that may read what
  // root may read, so that the checkout and Envoy can be anywhere.
  const user = ['--reuid', UID, '--inh-caps', '+dac_read_search', '--ambient-caps', '+dac_read_search'];
  const as = ['--regid', UID, '--clear-groups', ...(mode === 'TPROXY' ? [] : user)];
  const child = pod.spawn('setpriv', [...as, process.execPath, ...args], ['ignore', 'pipe', 'pipe'], env);
  const log: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => log.push(...chunk.toString().split('\n')));
  const ready = async (): Promise<boolean> => {
    const { status } = await pod.call({ url: 'http://127.0.0.1:15020/healthz/ready' });
    return status === 200;
  };
  await until(ready, `${name} ready`, 120_000).catch((error: unknown) => {
    child.kill('SIGTERM');
    throw new Error([String(error), ...log].join('\n'), { cause: error });
  });
  return { log, stop: () => stopped(child) };
}

function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });
}
