// One scenario: its objects in a folder of their own, a server over it, and what its proxies are given, written down.

import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { featuresOf } from '../../src/config/features.ts';
import { formatListen } from '../../src/lib/listen.ts';
import { startServer } from '../../src/server.ts';
import { run } from './command.ts';

export interface Scenario {
  readonly scorer: string;
  readonly corpus: string;
  readonly name: string;
  /** Where the dumps go. */
  readonly out: string;
  /** The objects come after the server has started. */
  readonly live: boolean;
}

/** Dumps every proxy, in state of the world; gives a note where delta tells something else, or what went wrong. */
export async function dumpScenario({ scorer, corpus, name, out, live }: Scenario): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'meltemi-scenario-'));
  const source = join(corpus, name);
  const configDir = join(folder, 'config');
  mkdirSync(configDir);
  const put = (): void => {
    const ambient = join(corpus, '..', 'ambient.yaml');
    if (existsSync(ambient)) copyFileSync(ambient, join(configDir, 'ambient.yaml'));
    copyFileSync(join(source, 'input.yaml'), join(configDir, 'input.yaml'));
  };
  try {
    if (!live) put();
    const grpc = { host: '127.0.0.1', port: 0 };
    const server = await startServer({
      version: '0.0.0-parity',
      configDir,
      meshConfig: join(source, 'mesh.yaml'),
      networksConfig: join(source, 'meshNetworks.yaml'),
      domain: 'cluster.local',
      clusterId: 'Kubernetes',
      systemNamespace: 'istio-system',
      revision: '',
      grpc,
      caDir: join(folder, 'no-ca'),
      hosts: [],
      logLevels: 'none',
      logJson: false,
      debounceQuiet: 20,
      debounceMax: 500,
      features: featuresOf(process.env).features,
      maxStreamRate: 1000,
    });
    try {
      await server.ready();
      if (live) {
        put();
        // Long enough for watching, reading and the quiet time after it.
        await sleep(1500);
      }
      const address = formatListen(server.addresses.grpc ?? grpc);
      const args = ['dump', '-server', address, '-proxies', join(source, 'proxies.yaml'), '-out', out, '-mode', 'both'];
      return (await run(scorer, args)).trim();
    } finally {
      await server.stop();
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
