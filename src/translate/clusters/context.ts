// What a cluster reads of its proxy and mesh: the same object for every class that agrees on it, so that classes share
// rendered clusters.

import type { MeshConfig } from '../../config/mesh.ts';
import type { Dialect, IpFamily, ProxyClass, ProxyType } from '../../ir/proxy.ts';
import type { Scope } from '../../ir/snapshot.ts';
import { memo } from '../../lib/memo.ts';
import { proxyHeaders } from '../http/headers.ts';
import { type MeshSettings, meshSettings } from '../mesh.ts';

export interface ClusterContext {
  readonly mesh: MeshSettings;
  readonly type: ProxyType;
  readonly family: IpFamily;
  readonly dialect: Dialect;
  /** TLS_CLIENT_* metadata: files in place of SDS. */
  readonly clientCertChain: string;
  readonly clientKey: string;
  readonly clientRootCert: string;
  /** See ProxySettings. */
  readonly agentless: boolean;
  /** HTTP/1 header names go out as they came. */
  readonly preserveCase: boolean;
  /** See ProxySettings. */
  readonly dnsProxy: string;
}

const contexts = memo(
  (
    mesh: MeshSettings,
    type: ProxyType,
    family: IpFamily,
    dialect: Dialect,
    clientCertChain: string,
    clientKey: string,
    clientRootCert: string,
    agentless: boolean,
    preserveCase: boolean,
    dnsProxy: string,
  ): ClusterContext => ({
    mesh,
    type,
    family,
    dialect,
    clientCertChain,
    clientKey,
    clientRootCert,
    agentless,
    preserveCase,
    dnsProxy,
  }),
);

export function clusterContext(mesh: MeshConfig, proxyClass: ProxyClass): ClusterContext {
  const { type, family, dialect, settings } = proxyClass;
  const { preserveCase } = proxyHeaders(proxyClass);
  const { tlsClientCertChain = '', tlsClientKey = '', tlsClientRootCert = '' } = settings;
  const agentless = settings.agentless === true;
  return contexts(
    meshSettings(mesh),
    type,
    family,
    dialect,
    tlsClientCertChain,
    tlsClientKey,
    tlsClientRootCert,
    agentless,
    preserveCase,
    settings.dnsProxy ?? '',
  );
}

export function scopeContext(scope: Pick<Scope, 'mesh' | 'proxyClass'>): ClusterContext {
  return clusterContext(scope.mesh, scope.proxyClass);
}
