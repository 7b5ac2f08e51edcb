// `npm run demo`: the bookinfo mesh for real on this machine. Real Envoys, certificates and routes, small applications of
// our own, traffic through the gateway, and a table that shows what becomes of it. Ctrl-C ends everything.
//
//   --duration 20s   end by itself, with exit code 0 only if traffic flowed as it should
//   --json           print a summary as JSON at the end and no table
//   --configDir DIR  serve another copy of the sample

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ensureEnvoy } from '../../src/cli/envoy-binary.ts';
import { startApps } from './apps.ts';
import { Children } from './children.ts';
import { CONTROL_PLANE, GATEWAY_URL, pushLatencies, startMesh } from './mesh.ts';
import { Tally } from './tally.ts';
import { drawTable } from './table.ts';
import { Traffic } from './traffic.ts';

const { values } = parseArgs({
  options: {
    duration: { type: 'string' },
    json: { type: 'boolean', default: false },
    configDir: { type: 'string', default: fileURLToPath(new URL('../bookinfo', import.meta.url)) },
  },
});

const REDRAW_MS = 1000;

const say = (text: string): void => {
  if (!values.json) process.stdout.write(`${text}\n`);
};

async function main(): Promise<number> {
  const seconds = values.duration === undefined ? undefined : Number.parseFloat(values.duration);
  const work = await mkdtemp(join(tmpdir(), 'meltemi-demo-'));
  let end: (reason: string | undefined) => void = () => undefined;
  const ended = new Promise<string | undefined>((resolve) => {
    end = resolve;
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => end(undefined));
  const children = new Children((message) => end(message));
  const tally = new Tally();
  let traffic: Traffic | undefined;
  let failure: string | undefined;
  const apps = await startApps();
  try {
    const envoy = await ensureEnvoy({ env: process.env, onInstall: say });
    say('starting a control plane, 9 agents and 9 Envoys …');
    const started = startMesh({ children, work, configDir: values.configDir, envoy });
    const early = await Promise.race([started.then(() => 'up' as const), ended.then((reason) => ({ reason }))]);
    if (early === 'up') {
      traffic = new Traffic(tally);
      if (seconds !== undefined) void delay(seconds * 1000).then(() => end(undefined));
      failure = await watch(tally, ended);
    } else failure = early.reason;
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
  } finally {
    await traffic?.stop();
    await children.stop(8000);
    await apps.stop();
  }
  if (failure === undefined) await rm(work, { recursive: true, force: true });
  return report(tally, failure, seconds !== undefined);
}

/** Shows the table until the end; resolves to what went wrong, if something did. */
async function watch(tally: Tally, ended: Promise<string | undefined>): Promise<string | undefined> {
  let over = false;
  const reason = ended.then((text) => {
    over = true;
    return text;
  });
  say(`\n${GATEWAY_URL} is open; debug pages at http://${CONTROL_PLANE.host}:${CONTROL_PLANE.http}/debug\n`);
  while (!over) {
    await Promise.race([delay(REDRAW_MS), reason]);
    const latencies = await pushLatencies().catch(() => new Map<string, number>());
    if (!values.json && !over) drawTable(tally, latencies, values.configDir);
  }
  return reason;
}

function report(tally: Tally, failure: string | undefined, judged: boolean): number {
  const summary = tally.summary();
  if (values.json) process.stdout.write(`${JSON.stringify({ ...summary, failure }, undefined, 2)}\n`);
  if (failure !== undefined) {
    process.stderr.write(`demo: ${failure}\n`);
    return 1;
  }
  say('\nended; everything is stopped.');
  return judged && !summary.healthy ? 1 : 0;
}

process.exitCode = await main();
