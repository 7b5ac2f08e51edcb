// What fake proxies show over TLS: a certificate for each workload, from the authority that the server keeps in a folder, as
// agents have one. In: a folder, workloads. Out: credentials. Called by the fleet, before its clock runs.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ChannelCredentials } from '@grpc/grpc-js';
import { type Authority, openAuthority } from '../../src/ca/authority.ts';
import { newCsr } from '../../src/ca/csr-request.ts';
import { fileRootStore } from '../../src/ca/root-store.ts';
import { Metrics, silentLog } from '../../test/xds/support.ts';

const LIFETIME_SECONDS = 86_400;

const PORTS = {
  clock: Date,
  // Nothing here lives long enough for a root to be renewed.
  timers: { setTimeout: () => () => undefined },
  log: silentLog,
  meter: new Metrics(),
};

export class Identities {
  readonly #authority: Authority;
  readonly #roots: Buffer;
  readonly #made = new Map<string, Promise<ChannelCredentials>>();

  private constructor(authority: Authority, roots: Buffer) {
    this.#authority = authority;
    this.#roots = roots;
  }

  /** `stateDir`: that of a server that has started. */
  static async open(stateDir: string): Promise<Identities> {
    const options = { trustDomain: 'cluster.local', rootStore: fileRootStore(stateDir), checkIntervalMs: 0 };
    return new Identities(await openAuthority(options, PORTS), readFileSync(join(stateDir, 'root-cert.pem')));
  }

  credentials(namespace: string, serviceAccount: string): Promise<ChannelCredentials> {
    const identity = `spiffe://cluster.local/ns/${namespace}/sa/${serviceAccount}`;
    const made = this.#made.get(identity) ?? this.#make(identity);
    this.#made.set(identity, made);
    return made;
  }

  async #make(identity: string): Promise<ChannelCredentials> {
    const { csrPem, keyPem } = await newCsr(identity, { kind: 'ecdsa' });
    const chain = await this.#authority.certify(csrPem, [identity], LIFETIME_SECONDS);
    return ChannelCredentials.createSsl(this.#roots, Buffer.from(keyPem), Buffer.from(chain.slice(0, -1).join('')));
  }
}
