// What `npm pack` gives can be installed by a stranger and runs: installs the tarball into an empty project, asks the
// binary for its version and lets it serve the packed sample.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const work = mkdtempSync(join(tmpdir(), 'meltemi-package-'));
const run = (command: string, args: readonly string[], cwd: string): string =>
  execFileSync(command, [...args], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

try {
  run('npm', ['pack', '--silent', '--pack-destination', work], process.cwd());
  const tarball = readdirSync(work).find((name) => name.endsWith('.tgz'));
  if (tarball === undefined) throw new Error('npm pack made no tarball');
  writeFileSync(join(work, 'package.json'), '{"name":"stranger","private":true}');
  run('npm', ['install', '--omit=dev', '--no-fund', '--no-audit', join(work, tarball)], work);
  const bin = join(work, 'node_modules', '.bin', 'meltemi');
  console.log(run(bin, ['version', '--short'], work).trim());
  const sample = join(work, 'node_modules', 'meltemi', 'samples', 'bookinfo');
  await servesSample(bin, sample);
  console.log('the package installs and serves');
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** Starts the packed server on free ports and waits for its first lines. */
function servesSample(bin: string, sample: string): Promise<void> {
  const ports = ['--grpcAddr', '127.0.0.1:0', '--secureGRPCAddr', '127.0.0.1:0', '--httpAddr', '127.0.0.1:0'];
  // With workers, whose entry nothing else would show to be missing.
  const off = ['--httpsAddr', '', '--monitoringAddr', '', '--workers', '2'];
  const child = spawn(bin, ['serve', '--configDir', sample, ...ports, ...off], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return new Promise((resolve, reject) => {
    let seen = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
    child.stdout.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.includes('Try next')) child.kill('SIGTERM');
    });
    child.on('exit', (code) => {
      clearTimeout(timer);
      if (code === 0 && seen.includes('services.')) resolve();
      else reject(new Error(`the packed server ended with ${code}:\n${seen}`));
    });
  });
}
