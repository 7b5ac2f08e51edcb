// Every code that a Finding can carry, in one table: the reference page, `analyze` and the tests read it.
// Codes of the form ISTnnnn mean what they mean in `istioctl analyze`; MELnnnn are our own.

import type { Severity } from './object.ts';

export interface CodeEntry {
  /** The usual severity; a finding may be milder or graver where its place says so. */
  readonly severity: Severity;
  readonly summary: string;
}

export const FINDING_CODES = {
  IST0002: { severity: 'warning', summary: 'The object uses a field or value that is deprecated.' },
  IST0101: { severity: 'error', summary: 'The object names another one that does not exist.' },
  IST0102: { severity: 'info', summary: 'A namespace says nothing of injection: its pods get no proxy.' },
  IST0103: { severity: 'warning', summary: 'A pod of a namespace with injection has no proxy.' },
  IST0106: {
    severity: 'error',
    summary: 'The object is not valid: a field has a wrong type or a value that is not allowed.',
  },
  IST0107: { severity: 'warning', summary: 'An annotation has no effect on an object of this kind.' },
  IST0108: { severity: 'warning', summary: 'There is no annotation of this name.' },
  IST0109: {
    severity: 'error',
    summary: 'Several VirtualServices have the same host in the mesh; the oldest is in force.',
  },
  IST0110: { severity: 'error', summary: 'Several Sidecars select the same workload; the oldest is in force.' },
  IST0111: {
    severity: 'error',
    summary: 'Several Sidecars of a namespace have no workloadSelector; the oldest is in force.',
  },
  IST0112: { severity: 'error', summary: 'A destination with several ports is named without a port.' },
  IST0116: {
    severity: 'warning',
    summary: 'Services that lead to the same workload give one port different protocols.',
  },
  IST0118: { severity: 'info', summary: 'The name of a port of a Service declares no protocol.' },
  IST0123: { severity: 'warning', summary: 'A namespace has both labels for injection.' },
  IST0125: { severity: 'warning', summary: 'An annotation has a value that it can not have.' },
  IST0126: { severity: 'error', summary: 'The mesh networks name a registry that does not exist.' },
  IST0127: { severity: 'warning', summary: 'The selector of a policy fits no workload.' },
  IST0128: {
    severity: 'warning',
    summary: 'A DestinationRule originates TLS without CA certificates: the server is not verified.',
  },
  IST0129: {
    severity: 'warning',
    summary: 'A port of a DestinationRule originates TLS without CA certificates: the server is not verified.',
  },
  IST0130: {
    severity: 'warning',
    summary: 'A rule of a VirtualService can never be reached: an earlier one takes all requests.',
  },
  IST0131: { severity: 'info', summary: 'A match of a VirtualService repeats an earlier one and never applies.' },
  IST0132: { severity: 'warning', summary: 'A host of a VirtualService is on no server of its Gateway.' },
  IST0133: { severity: 'warning', summary: 'The object is valid, but something in it is unlikely to be meant.' },
  IST0134: {
    severity: 'warning',
    summary: 'A ServiceEntry has a TCP port without addresses: it takes all traffic of that port.',
  },
  IST0135: { severity: 'info', summary: 'An annotation is deprecated.' },
  IST0136: { severity: 'info', summary: 'An annotation is experimental.' },
  IST0137: {
    severity: 'warning',
    summary: 'Services that lead to the same workload use one target port for different ports.',
  },
  IST0138: { severity: 'warning', summary: 'Several Gateways of the same workloads serve one certificate.' },
  IST0139: {
    severity: 'error',
    summary: 'An injection webhook leads to no Service, or another one injects the same pods.',
  },
  IST0140: {
    severity: 'warning',
    summary: 'Subsets of a VirtualService for the mesh do not count for requests that come through a gateway.',
  },
  IST0144: {
    severity: 'warning',
    summary: 'An application runs as the user of the proxy: its traffic bypasses the mesh.',
  },
  IST0145: { severity: 'error', summary: 'A server of a Gateway can not be merged with those of older Gateways.' },
  IST0146: {
    severity: 'warning',
    summary: 'A workload has a container with image auto, and nothing is injected there.',
  },
  IST0147: { severity: 'error', summary: 'A pod has a container with image auto, and nothing is injected there.' },
  IST0148: { severity: 'info', summary: 'A namespace without a label is injected, as the injector says.' },
  IST0149: {
    severity: 'error',
    summary: 'A VirtualService routes by claims, and no RequestAuthentication applies to its Gateway.',
  },
  IST0150: { severity: 'warning', summary: 'The name of a port of an ExternalName Service declares no protocol.' },
  IST0151: { severity: 'warning', summary: 'A patch of an EnvoyFilter depends on filters that may be missing.' },
  IST0152: { severity: 'error', summary: 'REPLACE in an EnvoyFilter is ignored for what it applies to.' },
  IST0153: { severity: 'error', summary: 'ADD in an EnvoyFilter is ignored for what it applies to.' },
  IST0154: { severity: 'error', summary: 'REMOVE in an EnvoyFilter is ignored for what it applies to.' },
  IST0155: {
    severity: 'warning',
    summary: 'A patch of an EnvoyFilter depends on filters that may be missing, and on the version of the proxy.',
  },
  IST0157: { severity: 'warning', summary: 'A Telemetry names an extension provider that the mesh does not have.' },
  IST0158: { severity: 'warning', summary: 'Pods of a namespace have another proxy than is injected now.' },
  IST0159: { severity: 'error', summary: 'Several Telemetries select the same workload; the oldest is in force.' },
  IST0160: {
    severity: 'error',
    summary: 'Several Telemetries of a namespace have no selector; the oldest is in force.',
  },
  IST0161: { severity: 'error', summary: 'A credential of a Gateway has no usable certificate with its key.' },
  IST0162: { severity: 'warning', summary: 'A port of a Gateway is on no Service of its workloads.' },
  IST0163: { severity: 'warning', summary: 'A webhook has no usable address of its control plane.' },
  IST0164: { severity: 'info', summary: 'A webhook reaches its control plane by an address and not by a name.' },
  IST0165: { severity: 'warning', summary: 'A VirtualService names a Gateway that is internal to the control plane.' },
  IST0166: {
    severity: 'warning',
    summary: 'A policy selects pods of a Kubernetes Gateway, where only references count.',
  },
  IST0171: { severity: 'warning', summary: 'A controller says that the object is not in force.' },
  IST0173: { severity: 'error', summary: 'A subset of a DestinationRule has no endpoint.' },
  IST0174: { severity: 'warning', summary: 'A DestinationRule is for a host that does not exist.' },
  IST0177: { severity: 'warning', summary: 'Several ServiceEntries give one port of a host different protocols.' },
  MEL0001: { severity: 'error', summary: 'A file can not be read.' },
  MEL0002: {
    severity: 'error',
    summary: 'A document is not well-formed YAML or JSON; its last good version stays in force.',
  },
  MEL0003: {
    severity: 'error',
    summary: 'A file is larger than the limit and was not read; its last good version stays in force.',
  },
  MEL0004: {
    severity: 'error',
    summary: 'A document is no Kubernetes object: apiVersion, kind or metadata.name is missing.',
  },
  MEL0005: {
    severity: 'info',
    summary: 'The object is of a kind that this control plane does not use; it is ignored.',
  },
  MEL0014: {
    severity: 'info',
    summary: 'The object is read and shown, and nothing is made of it: what it asks for is not built yet.',
  },
  MEL0006: { severity: 'error', summary: 'The API group is ours, but it has no such kind or version.' },
  MEL0007: { severity: 'warning', summary: 'The object is defined more than once; the first by path is in force.' },
  MEL0008: { severity: 'warning', summary: 'The object has a field that does not exist; it is ignored.' },
  MEL0009: { severity: 'error', summary: 'The metadata of the object is not valid.' },
  MEL0010: { severity: 'error', summary: 'Aliases of a YAML document expand beyond the limit.' },
  MEL0011: { severity: 'error', summary: 'The folder of configuration can not be read.' },
  MEL0012: {
    severity: 'warning',
    summary: 'The object comes from several sources; the first by precedence is in force.',
  },
  MEL0013: { severity: 'error', summary: 'An internal check failed on the object; it was left out.' },
  MEL0020: {
    severity: 'error',
    summary: 'A field of the mesh configuration has a wrong type or value; the last good one is kept.',
  },
  MEL0021: { severity: 'warning', summary: 'The mesh configuration has a field that does not exist; it is ignored.' },
  MEL0022: { severity: 'error', summary: 'The mesh configuration can not be read as YAML; the last good one is kept.' },
  MEL0030: {
    severity: 'error',
    summary: 'A network of the mesh networks is not valid; the last good definition is kept.',
  },
  MEL0040: {
    severity: 'error',
    summary: 'The Kubernetes API refuses a list or a watch; what was last read stays in force.',
  },
  MEL0041: {
    severity: 'warning',
    summary:
      'No revision of the control plane owns the object: none writes its status, and none serves it if it names one itself.',
  },
  MEL0070: {
    severity: 'error',
    summary: 'A part of the injection configuration can not be used; what it is for is not injected.',
  },
  MEL0100: { severity: 'info', summary: 'An endpoint is held back until its Pod is known.' },
  MEL0101: { severity: 'error', summary: 'The address of an endpoint is not one that the service can use.' },
  MEL0102: { severity: 'warning', summary: 'A named target port is no container port of a selected workload.' },
  MEL0103: {
    severity: 'warning',
    summary: 'A ServiceEntry names the host of a Kubernetes Service of its namespace; the Service is in force.',
  },
  MEL0104: {
    severity: 'warning',
    summary: 'ServiceEntries of one host and namespace differ in more than ports; the oldest is in force.',
  },
  MEL0105: { severity: 'warning', summary: 'A port is defined twice for one host; the first is in force.' },
  MEL0106: { severity: 'warning', summary: 'Several hosts claim the same address and port; the oldest is in force.' },
  MEL0107: { severity: 'error', summary: 'An address of a ServiceEntry is neither an IP address nor a prefix.' },
  MEL0108: { severity: 'warning', summary: 'No virtual address is left to allocate.' },
  MEL0109: {
    severity: 'warning',
    summary: 'An address in the status of a ServiceEntry belongs to an older one; another was allocated.',
  },
  MEL0110: { severity: 'warning', summary: 'ExternalName services refer to each other in a loop.' },
  MEL0111: { severity: 'warning', summary: 'Resolution DNS_ROUND_ROBIN takes one endpoint; further ones are ignored.' },
  MEL0112: { severity: 'warning', summary: 'A wildcard host has no name that DNS could resolve.' },
  MEL0113: { severity: 'warning', summary: 'A gateway of a network has no usable address.' },
  MEL0050: {
    severity: 'warning',
    summary: 'A host of the object is taken by an older object or a service; it has no routes of its own there.',
  },
  MEL0051: { severity: 'error', summary: 'A rule of the object can not be expressed for the proxy; it was left out.' },
  MEL0060: {
    severity: 'warning',
    summary: 'A patch of an EnvoyFilter can not be read as the Envoy message that it is for; it is left out.',
  },
  MEL0061: {
    severity: 'warning',
    summary: 'A patch of an EnvoyFilter matches a resource that it does not fit; it is left out there.',
  },
  MEL0200: {
    severity: 'warning',
    summary: 'A DestinationRule is merged with an older one and loses a part of itself.',
  },
  MEL0201: {
    severity: 'warning',
    summary: 'Several PeerAuthentications of a namespace have no selector; the oldest is in force.',
  },
  MEL0202: {
    severity: 'warning',
    summary: 'Several Telemetry objects of a namespace have no selector; the oldest is in force.',
  },
} as const satisfies Readonly<Record<string, CodeEntry>>;

export type FindingCode = keyof typeof FINDING_CODES;
