// istio.mesh.v1alpha1.MeshNetworks: which endpoints are in which network, and the gateways into each.

import { deepEqual } from '../lib/equal.ts';
import { parsePath } from '../lib/field-path.ts';
import type { Finding } from './object.ts';
import { conform } from './schema/conform.ts';
import { integer, list, mapOf, nonEmpty, object, type Of, text } from './schema/typed.ts';
import { isCidr } from './validate/addresses.ts';

const networkSchema = {
  ...object({
    endpoints: list({
      ...object({ fromCidr: nonEmpty, fromRegistry: nonEmpty }),
      exclusive: [['fromCidr', 'fromRegistry']],
    }),
    gateways: list({
      ...object({ registryServiceName: nonEmpty, address: nonEmpty, port: integer(1, 65535), locality: text }, [
        'port',
      ]),
      exclusive: [['registryServiceName', 'address']],
    }),
  }),
};

export const meshNetworksSchema = object({ networks: mapOf(networkSchema) });

export type MeshNetwork = Of<typeof networkSchema>;

export interface MeshNetworks {
  /** By network name. */
  readonly networks: Readonly<Record<string, MeshNetwork>>;
}

export const NO_NETWORKS: MeshNetworks = { networks: {} };

/** A network that is wrong keeps its last good definition; others are taken as they are now. */
export function parseMeshNetworks(
  raw: unknown,
  previous: MeshNetworks = NO_NETWORKS,
  origin?: string,
): { readonly networks: MeshNetworks; readonly findings: readonly Finding[] } {
  const conformed = conform(meshNetworksSchema, raw ?? {});
  const findings: Finding[] = conformed.problems.map((problem) => ({
    severity: problem.kind === 'unknown-field' ? 'warning' : 'error',
    code: problem.kind === 'unknown-field' ? 'MEL0021' : 'MEL0030',
    message: problem.message,
    ...(problem.path === '' ? {} : { path: problem.path }),
    ...(problem.expected === undefined ? {} : { expected: problem.expected }),
    ...(origin === undefined ? {} : { origin }),
  }));
  if (conformed.value === undefined) return { networks: previous, findings };
  const written = (conformed.value as Of<typeof meshNetworksSchema>).networks ?? {};
  for (const [name, network] of Object.entries(written)) findings.push(...memberFindings(name, network, origin));
  const wrong = new Set(
    findings.filter((each) => each.severity === 'error').map((each) => parsePath(each.path ?? '')[1]),
  );
  // `networks` itself being wrong leaves nothing to take over.
  if (wrong.has(undefined)) return { networks: previous, findings };
  const networks: Record<string, MeshNetwork> = {};
  for (const name of Object.keys(written).concat(Object.keys(previous.networks).filter((each) => wrong.has(each)))) {
    const network = wrong.has(name) ? previous.networks[name] : written[name];
    if (network !== undefined) networks[name] = network;
  }
  const next = { networks };
  return { networks: deepEqual(next, previous) ? previous : next, findings };
}

function memberFindings(name: string, network: MeshNetwork, origin: string | undefined): Finding[] {
  const found: Finding[] = [];
  const report = (path: string, message: string, expected: string): void => {
    const at = `networks[${JSON.stringify(name)}].${path}`;
    found.push({
      severity: 'error',
      code: 'MEL0030',
      path: at,
      message,
      expected,
      ...(origin === undefined ? {} : { origin }),
    });
  };
  for (const [index, endpoint] of (network.endpoints ?? []).entries()) {
    if (endpoint?.fromCidr === undefined && endpoint?.fromRegistry === undefined) {
      report(`endpoints[${index}]`, 'says nothing', 'fromCidr or fromRegistry');
    } else if (endpoint.fromCidr !== undefined && !isCidr(endpoint.fromCidr)) {
      report(`endpoints[${index}].fromCidr`, `${JSON.stringify(endpoint.fromCidr)} is no CIDR`, 'such as 10.0.0.0/8');
    }
  }
  for (const [index, gateway] of (network.gateways ?? []).entries()) {
    if (gateway?.address === undefined && gateway?.registryServiceName === undefined) {
      report(`gateways[${index}]`, 'has no address', 'address or registryServiceName');
    }
  }
  return found;
}
