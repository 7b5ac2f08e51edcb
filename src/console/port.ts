// What the debug pages need from the running control plane, and all that they know of it.

import type { Finding, ObjectRef } from '../config/object.ts';
import type { Origin } from '../ir/draft.ts';
import type { WebhookAnswer, WebhookRequest } from '../lib/webhook.ts';
import type { Snapshot } from '../ir/snapshot.ts';
import type { Resource } from '../resources/resource.ts';
import type { View } from '../resources/view.ts';
import type { Applied } from '../plane/applied.ts';
import type { TypeStatus } from '../plane/session.ts';
import type { PreviewReport } from './preview.ts';

/** One connected proxy as the pages show it. */
export interface ConnectionInfo {
  readonly connectionId: string;
  readonly nodeId: string;
  /** Its node as it described itself: envoy.config.core.v3.Node in JSON form, as far as translation reads it. */
  readonly node: object;
  /** `POD.NAMESPACE`, the name by which users ask for a proxy. */
  readonly proxyId: string;
  readonly type: string;
  readonly namespace: string;
  readonly clusterId: string;
  readonly version: string;
  readonly address: string;
  readonly connectedAt: number;
  readonly identities: readonly string[];
  readonly types: ReadonlyMap<string, TypeStatus>;
  view(typeUrl: string): View | undefined;
  /** The objects that a resource of its views was made from. */
  origins(resource: Resource): readonly Origin[];
  /** The objects that shape the proxy as a whole. */
  shapedBy(): readonly Origin[];
}

/** Objects that somebody thinks of applying (or deleting). */
export interface PreviewRequest {
  /** As written, with where they stand (`file.yaml:12`). */
  readonly documents: readonly { readonly value: unknown; readonly origin?: string | undefined }[];
  readonly delete?: boolean | undefined;
  /** Only this proxy, by `POD.NAMESPACE` or node id. */
  readonly proxy?: string | undefined;
}

export interface AnalysisReport {
  readonly findings: readonly Finding[];
}

/** What the API server asks before it stores something. */
export interface WebhookPort {
  inject(request: WebhookRequest): WebhookAnswer;
  validate(request: WebhookRequest): WebhookAnswer;
}

export interface ConsolePort {
  /** Empty when ready, else the parts that are not. */
  unready(): readonly string[];
  connections(): readonly ConnectionInfo[];
  snapshot(): Snapshot | undefined;
  findings(): readonly Finding[];
  /** What is known and what analyzers find, without what objects say is meant. */
  analysis(): readonly Finding[];
  /** How far an object has come with the proxies that it concerns; undefined where there is none. */
  applied(ref: ObjectRef): Applied | undefined;
  /** Every configuration object in force. */
  objects(): Iterable<object>;
  /** What objects would do if they were applied. Nothing that is served changes. */
  preview(request: PreviewRequest): Promise<PreviewReport>;
  /** What is injected, and by which revision namespaces are. */
  injection(): object;
  /** Log scopes. */
  scopes(): ReadonlyMap<string, string>;
  setLevel(scope: string, level: string): boolean;
  metrics(): Promise<string>;
  readonly metricsType: string;
  readonly version: string;
}
