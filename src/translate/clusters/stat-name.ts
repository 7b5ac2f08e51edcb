// Names of clusters in Envoy's statistics: their own, or what the mesh's pattern makes of a service.

import type { Service, ServicePort } from '../../ir/service.ts';
import { STAT_NAME_END } from '../envoy.ts';

/** `altStatName` of a cluster. An unset pattern leaves the cluster's name. */
export function statName(
  pattern: string | undefined,
  cluster: string,
  service: Pick<Service, 'registry' | 'hostname' | 'name' | 'namespace'>,
  port: Pick<ServicePort, 'number' | 'name'>,
  subset: string,
  targetPort: number,
): string {
  if (pattern === undefined || pattern === '') return cluster + STAT_NAME_END;
  const kube = service.registry === 'Kubernetes';
  const values: Readonly<Record<string, string>> = {
    SERVICE: kube ? `${service.name}.${service.namespace}` : service.hostname,
    SERVICE_NAME: kube ? service.name : service.hostname,
    SERVICE_FQDN: service.hostname,
    SUBSET_NAME: subset,
    TARGET_PORT: String(targetPort),
    SERVICE_PORT: String(port.number),
    SERVICE_PORT_NAME: port.name,
  };
  return pattern.replace(/%([A-Z_]+)%/g, (text, key: string) => values[key] ?? text) + STAT_NAME_END;
}
