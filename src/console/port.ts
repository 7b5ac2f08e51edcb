// What the debug pages need from the running control plane, and all that they know of it.

import type { Finding } from '../config/object.ts';
import type { Origin } from '../ir/draft.ts';
import type { Snapshot } from '../ir/snapshot.ts';
import type { Resource } from '../resources/resource.ts';
import type { View } from '../resources/view.ts';
import type { TypeStatus } from '../plane/session.ts';

/** One connected proxy as the pages show it. */
export interface ConnectionInfo {
  readonly connectionId: string;
  readonly nodeId: string;
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

export interface ConsolePort {
  /** Empty when ready, else the parts that are not. */
  unready(): readonly string[];
  connections(): readonly ConnectionInfo[];
  snapshot(): Snapshot | undefined;
  findings(): readonly Finding[];
  /** Every configuration object in force. */
  objects(): Iterable<object>;
  /** Log scopes. */
  scopes(): ReadonlyMap<string, string>;
  setLevel(scope: string, level: string): boolean;
  metrics(): Promise<string>;
  readonly metricsType: string;
  readonly version: string;
}
