// What each replica knows of its own proxies, told to the one that writes statuses: a ConfigMap for each replica.
// In: counts by object. Out: `meltemi-report-REPLICA`, written when the counts are others, and read by the leader.
// A report that stands still for too long is of a replica that is gone.

import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Reach } from '../plane/reach.ts';
import { KubeError } from '../sources/kube-api.ts';
import { KubeCache } from '../sources/kube-cache.ts';
import { isRecord, textOf } from '../sources/kube-discovery.ts';
import type { RawObject } from '../sources/kube-list-watch.ts';
import { type ControllerPorts, FIELD_MANAGER } from './ports.ts';

export type Report = ReadonlyMap<string, Reach>;

const LABEL = 'meltemi.io/report';
const HEARTBEAT = 'meltemi.io/heartbeat';
const KEY = 'report.json.gz';
/** A report is renewed after this, changed or not, ms. */
const HEARTBEAT_MS = 60_000;
const DEAD_MS = 200_000;

export interface ReportsOptions extends ControllerPorts {
  readonly namespace: string;
  readonly revision: string;
  readonly replica: string;
}

/** Publishes the report of this replica. */
export class ReportWriter {
  readonly #options: ReportsOptions;
  readonly #path: string;
  #written = '';
  #at = -Infinity;

  constructor(options: ReportsOptions) {
    this.#options = options;
    this.#path = `/api/v1/namespaces/${options.namespace}/configmaps/${nameFor(options.replica)}`;
  }

  /** Rejects where it could not be written. */
  async publish(report: Report, signal: AbortSignal): Promise<void> {
    const { api, clock, namespace, revision, replica } = this.#options;
    const text = JSON.stringify(
      [...report].map(([key, { total, programmed, refused }]) => [key, total, programmed, refused]),
    );
    const now = clock.now();
    if (text === this.#written && now - this.#at < HEARTBEAT_MS) return;
    const metadata = {
      ...{ name: nameFor(replica), namespace },
      labels: { [LABEL]: revision },
      annotations: { [HEARTBEAT]: String(Math.floor(now / HEARTBEAT_MS)) },
    };
    const binaryData = { [KEY]: gzipSync(text).toString('base64') };
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata, binaryData };
    const query = { fieldManager: FIELD_MANAGER, force: true };
    await api.send({ method: 'PATCH', patch: 'apply-patch', path: this.#path, query, body, unread: true }, signal);
    this.#written = text;
    this.#at = now;
  }

  async withdraw(signal: AbortSignal): Promise<void> {
    if (this.#written === '') return;
    await this.#options.api.send({ method: 'DELETE', path: this.#path }, signal).catch((error: unknown) => {
      if (!(error instanceof KubeError)) throw error;
      this.#options.log.debug({ error: error.message }, 'report not withdrawn, it runs out');
    });
  }
}

/** Reads the reports of all replicas of a revision, while leading. */
export class ReportReader {
  readonly #options: ReportsOptions;
  readonly #cache: KubeCache;
  readonly #reports = new Map<string, { readonly report: Report; readonly seenAt: number }>();

  constructor(options: ReportsOptions, onChange: () => void) {
    this.#options = options;
    const { api, log, timers, random, namespace, revision } = options;
    this.#cache = new KubeCache({
      ...{ api, log, timers, random, apiVersion: 'v1', path: `/api/v1/namespaces/${namespace}/configmaps` },
      labelSelector: `${LABEL}=${revision}`,
      onChange: (keys) => {
        for (const key of keys) this.#read(key);
        onChange();
      },
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#cache.run(signal);
  }

  synced(): Promise<void> {
    return this.#cache.synced();
  }

  /** Those of replicas that live. Forgets the others, and takes their ConfigMaps away. */
  living(signal: AbortSignal): readonly Report[] {
    const { api, clock } = this.#options;
    const now = clock.now();
    for (const [key, { seenAt }] of this.#reports) {
      if (now - seenAt < DEAD_MS) continue;
      this.#reports.delete(key);
      const [namespace, name] = key.split('/');
      const path = `/api/v1/namespaces/${namespace}/configmaps/${name}`;
      api.send({ method: 'DELETE', path }, signal).catch(() => undefined);
    }
    return [...this.#reports.values()].map(({ report }) => report);
  }

  #read(key: string): void {
    const object = this.#cache.objects.get(key);
    const report = object === undefined ? undefined : parseReport(object);
    if (report === undefined) this.#reports.delete(key);
    else this.#reports.set(key, { report, seenAt: this.#options.clock.now() });
  }
}

/** Names of pods are names of ConfigMaps; of anything else a hash is. */
function nameFor(replica: string): string {
  const plain = /^[a-z0-9]([-a-z0-9.]{0,200}[a-z0-9])?$/.test(replica);
  return `meltemi-report-${plain ? replica : createHash('sha256').update(replica).digest('hex').slice(0, 16)}`;
}

function parseReport(object: RawObject): Report | undefined {
  const data = isRecord(object['binaryData']) ? object['binaryData'] : {};
  try {
    const rows: unknown = JSON.parse(gunzipSync(Buffer.from(textOf(data, KEY), 'base64')).toString('utf8'));
    if (!Array.isArray(rows)) return undefined;
    return new Map(
      (rows as readonly (readonly [string, number, number, number])[]).map(([key, total, programmed, refused]) => [
        key,
        { total, programmed, refused },
      ]),
    );
  } catch {
    return undefined;
  }
}
