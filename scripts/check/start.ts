// README's first promise: `npm start` serves the sample mesh and says so; Ctrl-C ends it.

import { spawn } from 'node:child_process';

const child = spawn('npm', ['start', '--silent'], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
let seen = '';
let ready: number | undefined;
const timer = setTimeout(() => process.kill(-(child.pid ?? 0), 'SIGKILL'), 60_000);

child.stdout.on('data', (chunk: Buffer) => {
  process.stdout.write(chunk);
  seen += chunk.toString();
  if (ready !== undefined || !seen.includes('Try next')) return;
  ready = 0;
  fetch('http://127.0.0.1:8080/ready')
    .then((response) => {
      ready = response.status;
    })
    .catch((error: unknown) => console.error(error))
    .finally(() => process.kill(-(child.pid ?? 0), 'SIGINT'));
});

child.on('exit', (code) => {
  clearTimeout(timer);
  const served = seen.includes('reviews.bookinfo.svc.cluster.local') && ready === 200;
  if (!served) console.error(`npm start: ended with ${code}, readiness ${ready}`);
  process.exitCode = served ? 0 : 1;
});
