// The fields of Kubernetes' own kinds that are read, with their types. Others are passed over without a look.

import { flag, int32, integer, intOrText, list, nonEmpty, partOf, text, textMap, texts } from '../schema/typed.ts';

const port = integer(1, 65535);

export const metadataSchema = partOf(
  {
    name: nonEmpty,
    namespace: text,
    labels: textMap,
    annotations: textMap,
    creationTimestamp: text,
    generation: { ...int32, format: undefined },
    uid: text,
  },
  ['name'],
);

const container = partOf({
  name: text,
  ports: list(partOf({ name: text, containerPort: port, protocol: text }, ['containerPort'])),
  restartPolicy: text,
});

const condition = partOf({ type: text, status: text });

export const podSchema = partOf({
  spec: partOf({
    nodeName: text,
    serviceAccountName: text,
    hostNetwork: flag,
    hostname: text,
    subdomain: text,
    containers: list(container),
    initContainers: list(container),
  }),
  status: partOf({
    phase: text,
    podIP: text,
    podIPs: list(partOf({ ip: text })),
    conditions: list(condition),
  }),
});

export const serviceSchema = partOf({
  spec: partOf({
    type: text,
    clusterIP: text,
    clusterIPs: texts,
    selector: textMap,
    externalName: text,
    externalIPs: texts,
    publishNotReadyAddresses: flag,
    internalTrafficPolicy: text,
    trafficDistribution: text,
    ports: list(
      partOf(
        {
          name: text,
          port,
          protocol: text,
          appProtocol: text,
          targetPort: intOrText,
          nodePort: integer(0, 65535),
        },
        ['port'],
      ),
    ),
  }),
  status: partOf({
    loadBalancer: partOf({ ingress: list(partOf({ ip: text, hostname: text })) }),
  }),
});

export const endpointSliceSchema = partOf({
  addressType: text,
  ports: list(partOf({ name: text, port: integer(0, 65535), protocol: text, appProtocol: text })),
  endpoints: list(
    partOf(
      {
        addresses: texts,
        conditions: partOf({ ready: flag, serving: flag, terminating: flag }),
        hostname: text,
        nodeName: text,
        zone: text,
        targetRef: partOf({ kind: text, namespace: text, name: text }),
      },
      ['addresses'],
    ),
  ),
});

export const nodeSchema = partOf({
  status: partOf({
    addresses: list(partOf({ type: text, address: text }, ['type', 'address'])),
    nodeInfo: partOf({ kubeletVersion: text }),
  }),
});

export const secretSchema = partOf({ type: text, data: textMap, stringData: textMap });

export const configMapSchema = partOf({ data: textMap });

/** Kinds of which only the metadata matters. */
export const bareSchema = partOf({});

export const serviceEntryStatusSchema = partOf({ addresses: list(partOf({ host: text, value: text })) });

export const workloadEntryStatusSchema = partOf({ conditions: list(condition) });
