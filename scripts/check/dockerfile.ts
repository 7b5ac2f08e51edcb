// The Dockerfile without a Docker engine: its shape is checked, and the steps of its build stage are run in a copy of what
// the build context would hold; then the image's files alone must be enough to run.

import { execFileSync, execSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

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
const stages = instructions.filter((line) => line.startsWith('FROM'));
must(stages.length === 2 && (stages[0] ?? '').endsWith(' AS build'), 'expected a build stage and a final one');
const last = instructions.slice(instructions.lastIndexOf(stages[1] ?? '') + 1);
must(
  /^USER [1-9]\d*:[1-9]\d*$/.test(last.find((line) => line.startsWith('USER')) ?? ''),
  'the final stage must run as a numeric user that is not root',
);
must(
  last.filter((line) => line.startsWith('COPY')).every((line) => line.includes('--from=build')),
  'the final stage takes files from the build stage only',
);

const work = mkdtempSync(join(tmpdir(), 'meltemi-image-'));
try {
  const source = join(work, 'src');
  const context = execFileSync('git', ['ls-files', '-z'], { encoding: 'utf8' }).split('\0').filter(Boolean);
  const ignored = readFileSync('.dockerignore', 'utf8').split('\n').filter(Boolean);
  for (const file of context)
    if (!ignored.includes(file.split('/')[0] ?? '')) cpSync(file, join(source, file), { recursive: true });
  const build = instructions.slice(instructions.indexOf(stages[0] ?? ''), instructions.indexOf(stages[1] ?? ''));
  for (const line of build.filter((each) => each.startsWith('RUN ')))
    execSync(line.slice(4), { cwd: source, stdio: 'inherit' });
  const app = join(work, 'app');
  for (const line of last.filter((each) => each.startsWith('COPY'))) {
    const [from = '', to = ''] = line.split(/\s+/).slice(2);
    const name = from.replace('/src/', '');
    cpSync(join(source, name), to.endsWith('/') ? join(app, to, name.split('/').at(-1) ?? '') : join(app, to), {
      recursive: true,
    });
  }
  rmSync(source, { recursive: true, force: true });
  const dev = execSync('ls node_modules', { cwd: app, encoding: 'utf8' }).split('\n');
  must(!dev.includes('typescript') && !dev.includes('vitest'), 'dev dependencies reached the image');
  console.log(execFileSync('node', ['dist/main.js', 'version', '--short'], { cwd: app, encoding: 'utf8' }).trim());
  console.log('the image would run');
} finally {
  rmSync(work, { recursive: true, force: true });
}
