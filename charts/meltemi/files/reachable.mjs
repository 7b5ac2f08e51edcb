// Run by `helm test` inside the cluster: the control plane answers at its Service, by the certificate that proxies and the
// API server expect. HOST is the Service's name; ROOT the file with the mesh's root.
import { readFileSync } from 'node:fs';
import { connect } from 'node:tls';

const { HOST = '', ROOT = '' } = process.env;

const handshake = (port) =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: HOST, port, servername: HOST, ca: readFileSync(ROOT) }, () => {
      socket.end();
      resolve();
    });
    socket.setTimeout(10_000, () => socket.destroy(new Error(`no answer from ${HOST}:${port}`)));
    socket.on('error', reject);
  });

const answer = await fetch(`http://${HOST}:15014/version`, { signal: AbortSignal.timeout(10_000) });
if (!answer.ok) throw new Error(`http://${HOST}:15014/version: ${answer.status}`);
console.log(`control plane: ${(await answer.text()).trim()}`);
for (const port of [15012, 443]) {
  await handshake(port);
  console.log(`${HOST}:${port}: its certificate is right`);
}
