// The Dockerfile without a Docker engine: its shape is checked, and the steps of its build stages are run in a copy of what
// the build context would hold; then the image's files alone must be enough to run, in each of its roles.

import { execFileSync, execSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { ENVOY_VERSION, findEnvoy } from '../../src/cli/envoy-binary.ts';

const text = readFileSync('Dockerfile', 'utf8');
const instructions = text
  .replaceAll(/\\\n/g, ' ')
  .split('\n')
  .filter((line) => line.trim() !== '' && !line.startsWith('#'));

const must = (condition: boolean, what: string): void => {
  if (!condition) throw new Error(`Dockerfile: ${what}`);
};

const known = /^(ARG|FROM|WORKDIR|COPY|RUN|ENV|USER|EXPOSE|ENTRYPOINT|CMD)\b/;
for (const line of instructions) must(known.test(line), `unexpected instruction: ${line}`);
const froms = instructions.flatMap((line, index) => (line.startsWith('FROM') ? [index] : []));
must(
  froms.map((index) => / AS (\w+)$/.exec(instructions[index] ?? '')?.[1]).join() === 'build,envoy,',
  'expected the stages build and envoy, and a final one',
);
const [build, , last] = froms.map((from, stage) => instructions.slice(from + 1, froms[stage + 1]));
if (build === undefined || last === undefined) throw new Error('Dockerfile: no stages');
must(
  /^USER [1-9]\d*:[1-9]\d*$/.test(last.findLast((line) => line.startsWith('USER')) ?? ''),
  'the final stage must run as a numeric user that is not root',
);
must(last.includes('WORKDIR /'), "the working folder must be the root: the agent's paths are relative to it");
must(last.includes('ENTRYPOINT ["/usr/local/bin/meltemi"]'), 'the entry point must be meltemi');
must(text.includes(`ARG ENVOY_VERSION=${ENVOY_VERSION}`), `the Envoy must be ${ENVOY_VERSION}, as tests have it`);
const copies = last.filter((line) => line.startsWith('COPY'));
must(
  copies.every((line) => /--from=(build|envoy) /.test(line)),
  'the final stage takes files from the other stages only',
);
for (const tool of ['iptables', 'iproute2', 'ca-certificates'])
  must(
    last.some((line) => line.startsWith('RUN') && line.includes(tool)),
    `${tool} must be installed`,
  );

const work = mkdtempSync(join(tmpdir(), 'meltemi-image-'));
try {
  const source = join(work, 'src');
  const context = execFileSync('git', ['ls-files', '-z'], { encoding: 'utf8' }).split('\0').filter(Boolean);
  const ignored = readFileSync('.dockerignore', 'utf8').split('\n').filter(Boolean);
  for (const file of context)
    if (!ignored.includes(file.split('/')[0] ?? '')) cpSync(file, join(source, file), { recursive: true });
  for (const line of build.filter((each) => each.startsWith('RUN ')))
    execSync(line.slice(4), { cwd: source, stdio: 'inherit' });
  const image = join(work, 'image');
  for (const line of copies.filter((each) => each.includes('--from=build '))) {
    const [from = '', to = ''] = line.split(/\s+/).slice(2);
    const name = from.replace('/src/', '');
    const target = to.endsWith('/') ? join(image, to, name.split('/').at(-1) ?? '') : join(image, to);
    cpSync(join(source, name), target, { recursive: true });
  }
  // The wheel's Envoy is the one that tests run.
  const envoy = findEnvoy({ env: process.env, version: ENVOY_VERSION, exact: true });
  const inImage = copies.find((line) => line.includes('--from=envoy '))?.split(/\s+/)[3] ?? '';
  if (envoy !== undefined) symlinkSync(envoy, join(image, inImage));
  rmSync(source, { recursive: true, force: true });
  const dev = execSync('ls node_modules', { cwd: join(image, 'app'), encoding: 'utf8' }).split('\n');
  must(!dev.includes('typescript') && !dev.includes('vitest'), 'dev dependencies reached the image');
  runRoles(image);
  console.log('the image would run');
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** What each role prints, started by the entry point from the folder that is the image's root. */
function runRoles(image: string): void {
  const root = join(work, 'root');
  mkdirSync(root);
  const bin = join(image, 'usr/local/bin');
  const env = {
    PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}`,
    MELTEMI_HOME: join(image, 'app'),
    INSTANCE_IP: '10.0.0.1',
    POD_NAME: 'web',
    POD_NAMESPACE: 'shop',
  };
  const meltemi = (...args: readonly string[]): string =>
    execFileSync('meltemi', args, { cwd: root, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  console.log(meltemi('version', '--short').trim());
  const rules = meltemi(
    'iptables',
    '--dry-run',
    '-p',
    '15001',
    '-z',
    '15006',
    '-u',
    '1337',
    '-m',
    'REDIRECT',
    '-b',
    '*',
  );
  must(rules.includes('15006'), 'the init role must print its rules');
  must(
    meltemi('agent', '--help').includes('--discoveryAddress'),
    'the agent must start, and know when it is not for it',
  );
  // Where pods have them mounted is for this machine to decide; Envoy wants to read them.
  const mounted = join(root, 'mounted');
  writeFileSync(mounted, 'text');
  const files = ['--rootFile', mounted, '--tokenFile', mounted];
  meltemi('bootstrap', 'sidecar', ...files);
  meltemi('bootstrap', 'sidecar', '--agentless', '--output', 'etc/b.json', ...files);
  if (!existsSync(join(bin, 'envoy'))) return;
  const check = ['--mode', 'validate', '-c', join(root, 'etc/b.json'), '-l', 'error'];
  execFileSync('envoy', check, { cwd: root, env, stdio: 'inherit' });
}
