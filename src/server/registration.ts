// Registration of workloads on the streams of their proxies. In: a Registrar, a session of the plane. Out: the same session
// with the registration tied to its life. Called by grpc.ts.

import type { StoreState } from '../store/state.ts';
import { tableGet, tableValues } from '../lib/table.ts';
import type { EntryReader, WorkloadEntry, WorkloadGroup } from '../registration/port.ts';
import type { Registrar, Registration } from '../registration/registrar.ts';
import type { NodeInfo, Peer, ProxySession, Refusal } from '../xds/port.ts';

const PERMISSION_DENIED = 7;
const FAILED_PRECONDITION = 9;

/** Entries and groups as the store has them now. */
export function storeReader(state: () => StoreState): EntryReader {
  return {
    group: (namespace, name) =>
      tableGet(state().byKind.WorkloadGroup, `${namespace}/${name}`) as WorkloadGroup | undefined,
    entry: (namespace, name) =>
      tableGet(state().byKind.WorkloadEntry, `${namespace}/${name}`) as WorkloadEntry | undefined,
    entries: () => tableValues(state().byKind.WorkloadEntry) as Iterable<WorkloadEntry>,
  };
}

/** Connects a proxy and registers its workload if it asks for that; refused where it can't be. */
export function connectRegistered(
  registrar: Registrar | undefined,
  node: NodeInfo,
  peer: Peer,
  connect: () => ProxySession | Refusal,
): ProxySession | Refusal {
  const answer = registrar?.connect(node, peer);
  if (answer?.kind === 'refused') {
    const code = answer.reason === 'identity' ? PERMISSION_DENIED : FAILED_PRECONDITION;
    return { kind: 'refused', code, message: answer.message };
  }
  const session = connect();
  if (answer === undefined) return session;
  if (session.kind === 'session') return registered(session, answer);
  answer.ended();
  return session;
}

function registered(session: ProxySession, registration: Registration): ProxySession {
  return {
    kind: 'session',
    connectionId: session.connectionId,
    get ready() {
      return session.ready;
    },
    view: (typeUrl) => session.view(typeUrl),
    names: (typeUrl, names) => session.names(typeUrl, names),
    followsNames: (typeUrl) => session.followsNames?.(typeUrl) ?? false,
    sent: (typeUrl, event) => session.sent(typeUrl, event),
    acked: (typeUrl, nonce) => session.acked(typeUrl, nonce),
    nacked: (typeUrl, event) => session.nacked(typeUrl, event),
    health: (problem) => registration.health(problem),
    close: () => {
      registration.ended();
      session.close();
    },
  };
}
