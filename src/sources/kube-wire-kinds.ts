// The numbers of the fields that are read of Kubernetes' own kinds, from generated.proto of k8s.io/api and k8s.io/apimachinery.
// In: a kind. Out: how its lists and the events of its watches are read; undefined for kinds that definitions bring, which API
// servers send as JSON alone. Called by kube-reflector.ts. The compiler holds these tables to the schemas by which JSON is checked.

import type { Kind } from '../config/object.ts';
import type { Checked } from '../config/parse/index.ts';
import type * as schemas from '../config/parse/core-schemas.ts';
import type { Of } from '../config/schema/typed.ts';
import {
  base64,
  eventReader,
  field,
  flag,
  type Form,
  int32,
  int64,
  kept,
  list,
  listReader,
  mapOf,
  message,
  text,
  word,
  type WireEvent,
  type WireList,
} from './kube-wire.ts';

/** Milliseconds; of `{ seconds = 1, nanos = 2 }`, of which JSON has the seconds. */
const time: Form<number> = {
  wire: 2,
  read: (reader) => (seconds.read(reader, undefined).seconds ?? 0) * 1000,
};
const seconds = message<{ readonly seconds?: number }>({ seconds: field(1, int64) });

const metadata = message<Checked['metadata']>(
  {
    name: field(1, text),
    namespace: field(3, word),
    uid: field(5, text),
    generation: field(7, int64),
    created: kept(8, time),
    labels: field(11, mapOf(word)),
    annotations: field(12, mapOf(word)),
  },
  { name: '', created: 0 },
);

/** `{ type = 1, intVal = 2, strVal = 3 }`; type 1 is a text. */
const intOrText: Form<number | string> = {
  wire: 2,
  read: (reader) => {
    const { type = 0, int = 0, name = '' } = either.read(reader, undefined);
    return type === 1 ? name : int;
  },
};
const either = message<{ readonly type?: number; readonly int?: number; readonly name?: string }>({
  type: field(1, int32),
  int: field(2, int32),
  name: field(3, word),
});

type Raw<Name extends keyof typeof schemas> = Of<(typeof schemas)[Name]>;
type Part<T, Name extends keyof T> = NonNullable<T[Name]>;
type Item<T, Name extends keyof T> = Part<T, Name> extends readonly (infer Each)[] ? Each : never;

type PodSpec = Part<Raw<'podSchema'>, 'spec'>;
type PodStatus = Part<Raw<'podSchema'>, 'status'>;
type Container = Item<PodSpec, 'containers'>;

const container = message<Container>({
  name: field(1, word),
  ports: field(
    6,
    list(
      message<Item<Container, 'ports'>>(
        { name: field(1, word), containerPort: kept(3, int32), protocol: field(4, word) },
        { containerPort: 0 },
      ),
    ),
  ),
  restartPolicy: field(24, word),
});

const pod = message<Raw<'podSchema'> & Checked>({
  metadata: field(1, metadata),
  spec: field(
    2,
    message<PodSpec>({
      containers: field(2, list(container)),
      serviceAccountName: field(8, word),
      nodeName: field(10, word),
      hostNetwork: field(11, flag),
      hostname: field(16, word),
      subdomain: field(17, word),
      initContainers: field(20, list(container)),
    }),
  ),
  status: field(
    3,
    message<PodStatus>({
      phase: field(1, word),
      conditions: field(
        2,
        list(message<Item<PodStatus, 'conditions'>>({ type: field(1, word), status: field(2, word) })),
      ),
      podIP: field(6, text),
      podIPs: field(12, list(message<Item<PodStatus, 'podIPs'>>({ ip: field(1, text) }))),
    }),
  ),
});

type ServiceSpec = Part<Raw<'serviceSchema'>, 'spec'>;
type ServiceStatus = Part<Raw<'serviceSchema'>, 'status'>;
type LoadBalancer = Part<ServiceStatus, 'loadBalancer'>;

const service = message<Raw<'serviceSchema'> & Checked>({
  metadata: field(1, metadata),
  spec: field(
    2,
    message<ServiceSpec>({
      ports: field(
        1,
        list(
          message<Item<ServiceSpec, 'ports'>>(
            {
              name: field(1, word),
              protocol: field(2, word),
              port: kept(3, int32),
              targetPort: kept(4, intOrText),
              nodePort: field(5, int32),
              appProtocol: kept(6, word),
            },
            { port: 0 },
          ),
        ),
      ),
      selector: field(2, mapOf(word)),
      clusterIP: field(3, text),
      type: field(4, word),
      externalIPs: field(5, list(text)),
      externalName: field(10, text),
      publishNotReadyAddresses: field(13, flag),
      clusterIPs: field(18, list(text)),
      internalTrafficPolicy: kept(22, word),
      trafficDistribution: kept(23, word),
    }),
  ),
  status: field(
    3,
    message<ServiceStatus>({
      loadBalancer: field(
        1,
        message<LoadBalancer>({
          ingress: field(
            1,
            list(message<Item<LoadBalancer, 'ingress'>>({ ip: field(1, text), hostname: field(2, text) })),
          ),
        }),
      ),
    }),
  ),
});

type Slice = Raw<'endpointSliceSchema'>;
type Endpoint = Item<Slice, 'endpoints'>;

const endpoint = message<Endpoint>(
  {
    addresses: field(1, list(text)),
    conditions: field(
      2,
      message<Part<Endpoint, 'conditions'>>({
        ready: kept(1, flag),
        serving: kept(2, flag),
        terminating: kept(3, flag),
      }),
    ),
    hostname: kept(3, word),
    targetRef: field(
      4,
      message<Part<Endpoint, 'targetRef'>>({ kind: field(1, word), namespace: field(2, word), name: field(3, text) }),
    ),
    nodeName: kept(6, word),
    zone: kept(7, word),
  },
  { addresses: [] },
);

const endpointSlice = message<Slice & Checked>({
  metadata: field(1, metadata),
  endpoints: field(2, list(endpoint)),
  ports: field(
    3,
    list(
      message<Item<Slice, 'ports'>>({
        name: kept(1, word),
        protocol: kept(2, word),
        port: kept(3, int32),
        appProtocol: kept(4, word),
      }),
    ),
  ),
  addressType: field(4, word),
});

type NodeStatus = Part<Raw<'nodeSchema'>, 'status'>;

const node = message<Raw<'nodeSchema'> & Checked>({
  metadata: field(1, metadata),
  status: field(
    3,
    message<NodeStatus>({
      addresses: field(
        5,
        list(
          message<Item<NodeStatus, 'addresses'>>(
            { type: kept(1, word), address: kept(2, text) },
            { type: '', address: '' },
          ),
        ),
      ),
      nodeInfo: field(7, message<Part<NodeStatus, 'nodeInfo'>>({ kubeletVersion: field(7, word) })),
    }),
  ),
});

const secret = message<Omit<Raw<'secretSchema'>, 'stringData'> & Checked>({
  metadata: field(1, metadata),
  data: field(2, mapOf(base64)),
  type: field(3, word),
});

const configMap = message<Raw<'configMapSchema'> & Checked>({
  metadata: field(1, metadata),
  data: field(2, mapOf(text)),
});

const bare = message<Checked>({ metadata: field(1, metadata) });

/** The two answers in which objects of a kind come. */
export interface KindReader {
  readonly list: (bytes: Uint8Array) => WireList<Checked>;
  readonly event: (bytes: Uint8Array) => WireEvent<Checked>;
}

function readerOf(form: Form<Checked>): KindReader {
  return { list: listReader(form), event: eventReader(form) };
}

const READERS: Partial<Record<Kind, KindReader>> = {
  Namespace: readerOf(bare),
  Node: readerOf(node),
  Pod: readerOf(pod),
  Service: readerOf(service),
  ServiceAccount: readerOf(bare),
  Secret: readerOf(secret),
  ConfigMap: readerOf(configMap),
  EndpointSlice: readerOf(endpointSlice),
};

export function kindReaderOf(kind: Kind): KindReader | undefined {
  return READERS[kind];
}
