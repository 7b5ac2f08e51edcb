// Gateways: which workloads they are for, and servers and certificates that get in each other's way.

import type { ServiceSpec } from '../config/core.ts';
import type { GatewaySpec, Server } from '../config/generated/types.ts';
import type { ConfigObject, Finding } from '../config/object.ts';
import { hostsOverlap } from '../lib/hosts.ts';
import { type Analysis, on, selects, servicesOf } from './analysis.ts';

type Gateway = ConfigObject<GatewaySpec>;

/** A selector that fits no workload: nobody listens. Without any workload known there is nothing to tell. */
export function* gatewayWorkloads(analysis: Analysis): Iterable<Finding> {
  const { workloads } = analysis;
  if (workloads.length === 0) return;
  for (const gateway of analysis.list<GatewaySpec>('Gateway')) {
    const { selector } = gateway.spec;
    if (selector === undefined || Object.keys(selector).length === 0) continue;
    const selected = workloads.filter(({ labels }) => selects(selector, labels));
    if (selected.length === 0)
      yield on(gateway, 'IST0101', 'spec.selector', `no workload has the labels ${pairs(selector)}`);
    else yield* missingPorts(analysis, gateway, selected);
  }
}

function* missingPorts(analysis: Analysis, gateway: Gateway, selected: Analysis['workloads']): Iterable<Finding> {
  const services = [...new Set(selected.flatMap((workload) => servicesOf(analysis, workload)))];
  if (services.length === 0) return;
  for (const [index, { port }] of (gateway.spec.servers ?? []).entries()) {
    const number = port?.number ?? 0;
    if (services.some((service) => hasPort(service, number))) continue;
    const names = services.map(({ namespace, name }) => `${namespace}/${name}`).join(', ');
    yield on(
      gateway,
      'IST0162',
      `spec.servers[${index}].port.number`,
      `Service ${names} has no port ${number}: nothing from outside gets there`,
    );
  }
}

function hasPort({ spec }: ConfigObject<ServiceSpec>, number: number): boolean {
  return spec.ports.some((port) => port.port === number || port.targetPort === number);
}

function pairs(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

interface Place {
  readonly gateway: Gateway;
  readonly index: number;
  readonly server: Server;
}

/** Two Gateways of one selector that both want a port and a host; routers take the older one. */
export function* gatewayConflicts(analysis: Analysis): Iterable<Finding> {
  const places = placesOf(analysis);
  for (const [at, place] of places.entries()) {
    for (const other of places.slice(0, at)) {
      if (other.gateway === place.gateway || !sameWorkloads(other.gateway, place.gateway)) continue;
      if (other.server.port?.number !== place.server.port?.number) continue;
      const host = (place.server.hosts ?? []).find((mine) =>
        (other.server.hosts ?? []).some((theirs) => overlap(mine, theirs)),
      );
      if (host === undefined) continue;
      const { namespace, name } = other.gateway;
      yield on(
        place.gateway,
        'IST0145',
        `spec.servers[${place.index}].hosts`,
        `Gateway ${namespace}/${name} has host ${host} on port ${place.server.port?.number} of the same workloads`,
      );
    }
  }
}

/** Browsers reuse a connection for all hosts of its certificate: requests then reach the wrong Gateway. */
export function* sharedCertificates(analysis: Analysis): Iterable<Finding> {
  const first = new Map<string, Place>();
  for (const place of placesOf(analysis)) {
    const { tls } = place.server;
    const certificate = tls?.credentialName ?? tls?.serverCertificate;
    if (certificate === undefined || certificate === '') continue;
    const key = `${pairs(place.gateway.spec.selector ?? {})} ${certificate}`;
    const other = first.get(key);
    if (other === undefined) first.set(key, place);
    else if (other.gateway !== place.gateway) {
      const { namespace, name } = other.gateway;
      yield on(
        place.gateway,
        'IST0138',
        `spec.servers[${place.index}].tls`,
        `Gateway ${namespace}/${name} serves certificate ${certificate} as well: clients that reuse connections get to the wrong one`,
      );
    }
  }
}

function placesOf(analysis: Analysis): readonly Place[] {
  const gateways = [...analysis.list<GatewaySpec>('Gateway')].sort((a, b) => a.created - b.created);
  return gateways.flatMap((gateway) =>
    (gateway.spec.servers ?? []).map((server, index) => ({ gateway, index, server })),
  );
}

function sameWorkloads(a: Gateway, b: Gateway): boolean {
  const [one, other] = [a.spec.selector ?? {}, b.spec.selector ?? {}];
  return selects(one, other) || selects(other, one);
}

function overlap(a: string, b: string): boolean {
  const [nameA = '', namespaceA = '*'] = a.split('/').reverse();
  const [nameB = '', namespaceB = '*'] = b.split('/').reverse();
  const together = namespaceA === '*' || namespaceB === '*' || namespaceA === namespaceB;
  return together && (nameA === nameB || (nameA !== '*' && nameB !== '*' && hostsOverlap(nameA, nameB)));
}
