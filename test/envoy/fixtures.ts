// Objects that the tests with real Envoys write often, and many requests at once.

import { Agent } from 'node:http';
import type { CallAnswer } from '../support/apps.ts';
import type { HttpCall, Mesh } from '../support/mesh.ts';

export const NAMESPACE = 'shop';

/** An object of an Istio group. */
export function istio(kind: string, name: string, spec: object, namespace = NAMESPACE): object {
  const group = GROUPS[kind] ?? 'networking.istio.io/v1';
  return { apiVersion: group, kind, metadata: { name, namespace }, spec };
}

const GROUPS: Readonly<Record<string, string>> = {
  PeerAuthentication: 'security.istio.io/v1',
  RequestAuthentication: 'security.istio.io/v1',
  AuthorizationPolicy: 'security.istio.io/v1',
  Telemetry: 'telemetry.istio.io/v1',
};

/** A VirtualService of one host for calls within the mesh. */
export function routes(host: string, http: readonly object[]): object {
  return istio('VirtualService', host.split('.')[0] ?? host, { hosts: [host], http });
}

export function to(host: string, subset?: string, rest: object = {}): object {
  return { destination: { host, ...(subset === undefined ? {} : { subset }) }, ...rest };
}

/** A DestinationRule with a subset per version label. */
export function versions(host: string, names: readonly string[], trafficPolicy?: object): object {
  const subsets = names.map((version) => ({ name: version, labels: { version } }));
  return istio('DestinationRule', host, { host, subsets, ...(trafficPolicy && { trafficPolicy }) });
}

/** The same call many times, some at once, over connections that are kept. */
export async function many(
  mesh: Mesh,
  from: string,
  what: HttpCall,
  count: number,
  atOnce = 20,
): Promise<CallAnswer[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
  const answers: CallAnswer[] = [];
  let left = count;
  const work = async (): Promise<void> => {
    while (left-- > 0) answers.push(await mesh.call(from, { agent, ...what }));
  };
  try {
    await Promise.all(Array.from({ length: atOnce }, work));
  } finally {
    agent.destroy();
  }
  return answers;
}

/** How many answers gave each value. */
export function countBy(
  answers: readonly CallAnswer[],
  key: (answer: CallAnswer) => string | number,
): Map<string | number, number> {
  const counts = new Map<string | number, number>();
  for (const answer of answers) counts.set(key(answer), (counts.get(key(answer)) ?? 0) + 1);
  return counts;
}
