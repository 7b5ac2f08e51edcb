// What the agent does with the messages of an ADS stream beside passing them on: it has subscriptions of its own in the
// stream of its Envoy (name table, trust bundle), tells the workload's health, and rewrites extensions that Envoy can't load.
// In: messages of both sides as bytes. Out: messages for both sides. Knows neither gRPC nor sockets. Called by relay.ts.

import { encode } from '../codec/index.ts';
import { WireReader } from '../codec/reader.ts';
import type { Log } from '../lib/ports.ts';

export type XdsForm = 'sotw' | 'delta';

/** A type that the agent asks for itself. */
export interface OwnSubscription {
  readonly typeUrl: string;
  /** Takes the resources of a response, each as the bytes within its Any. Throws with the reason to refuse them. */
  take(resources: readonly Uint8Array[]): void;
}

/** The workload's health, as the agent's probe sees it. */
export interface HealthReport {
  readonly healthy: boolean;
  readonly message: string;
}

export interface HealthFeed {
  readonly last: HealthReport | undefined;
  /** Hears of every change; returns the unsubscribe. */
  onChange(listener: () => void): () => void;
}

/** Makes of a response with extensions one that Envoy can take. */
export interface ExtensionRewriter {
  /**
   * The response to pass on. `again` is called at most once for each name, when what could not be had at first is there:
   * asked for anew, the extension comes whole.
   */
  rewrite(form: XdsForm, response: Buffer, again: (name: string) => void): Promise<Buffer>;
}

export interface TrafficParts {
  readonly own: readonly OwnSubscription[];
  readonly extensions: ExtensionRewriter | undefined;
  readonly health: HealthFeed | undefined;
}

export interface TrafficEnds {
  /** Both return false when the other side is full. */
  toControlPlane(bytes: Buffer): boolean;
  toEnvoy(bytes: Buffer): boolean;
  /** Envoy is to start over, with all that it knows. */
  restart(reason: string): void;
}

export interface Traffic {
  /** From Envoy. */
  request(bytes: Buffer): boolean;
  /** From the control plane. */
  response(bytes: Buffer): boolean;
  close(): void;
}

export const HEALTH_TYPE = 'type.googleapis.com/istio.v1.HealthInformation';
const LISTENER_TYPE = 'type.googleapis.com/envoy.config.listener.v3.Listener';
const EXTENSION_TYPE = 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig';

/** Field numbers of `type_url`. */
const REQUEST_TYPE = { sotw: 4, delta: 2 } as const;
const RESPONSE_TYPE = 4;

/** One stream's traffic. */
export function openTraffic(form: XdsForm, parts: TrafficParts, ends: TrafficEnds, log: Log): Traffic {
  const own = new Map(parts.own.map((each) => [each.typeUrl, each]));
  let joined = false;
  let closed = false;
  let rewriting: Promise<void> = Promise.resolve();
  let stopHealth: () => void = () => undefined;
  const send = (request: OwnRequest): void => void (closed || ends.toControlPlane(requestBytes(form, request)));
  const sendHealth = (): void => {
    const { last } = parts.health ?? {};
    if (last === undefined) return;
    send({ typeUrl: HEALTH_TYPE, ...(last.healthy ? {} : { error: last.message }) });
  };
  /** Behind Envoy's own: the first request tells who this is, and the proxy's configuration comes first. */
  const join = (): void => {
    joined = true;
    for (const { typeUrl } of parts.own) send({ typeUrl });
    sendHealth();
    stopHealth = parts.health?.onChange(sendHealth) ?? stopHealth;
  };
  const again = (name: string): void => {
    if (form === 'delta') send({ typeUrl: EXTENSION_TYPE, subscribe: [name] });
    else if (!closed) ends.restart(`the module of ${name} is there`);
  };
  const rewrite = (rewriter: ExtensionRewriter, bytes: Buffer): void => {
    rewriting = rewriting.then(async () => {
      try {
        const rewritten = await rewriter.rewrite(form, bytes, again);
        if (!closed) ends.toEnvoy(rewritten);
      } catch (error) {
        // Not passed on: there may be a credential in it, and Envoy would print what it refuses.
        send(refusalOf(EXTENSION_TYPE, bytes, error, log));
      }
    });
  };
  return {
    request: (bytes) => {
      const isFree = ends.toControlPlane(bytes);
      if (!joined && textIn(bytes, REQUEST_TYPE[form]) === LISTENER_TYPE) join();
      return isFree;
    },
    response: (bytes) => {
      const typeUrl = textIn(bytes, RESPONSE_TYPE);
      const subscription = own.get(typeUrl);
      if (subscription !== undefined) {
        send(answerTo(form, subscription, bytes, log));
        return true;
      }
      if (typeUrl !== EXTENSION_TYPE || parts.extensions === undefined) return ends.toEnvoy(bytes);
      rewrite(parts.extensions, bytes);
      return true;
    },
    close: () => {
      closed = true;
      stopHealth();
    },
  };
}

interface OwnRequest {
  readonly typeUrl: string;
  readonly version?: string;
  readonly nonce?: string;
  readonly error?: string;
  readonly subscribe?: readonly string[];
}

const STATUS_INTERNAL = 13;

function requestBytes(form: XdsForm, { typeUrl, version, nonce, error, subscribe }: OwnRequest): Buffer {
  const common = {
    typeUrl,
    responseNonce: nonce,
    errorDetail: error === undefined ? undefined : { code: STATUS_INTERNAL, message: error },
  };
  return Buffer.from(
    form === 'delta'
      ? encode('envoy.service.discovery.v3.DeltaDiscoveryRequest', { ...common, resourceNamesSubscribe: subscribe })
      : encode('envoy.service.discovery.v3.DiscoveryRequest', { ...common, versionInfo: version }),
  );
}

/** A text of a message, read without opening the rest; empty if it is not there or can't be read. */
function textIn(bytes: Uint8Array, field: number): string {
  try {
    const reader = new WireReader(bytes);
    while (reader.position < bytes.length) {
      const tag = reader.varint();
      if (tag === field * 8 + 2) return reader.text();
      reader.skip(tag);
    }
  } catch {
    // Whoever it is meant for will say so.
  }
  return '';
}

/** Field numbers, the same in both forms but for the version, which only one has. */
const RESPONSE = { version: 1, resources: 2, nonce: 5 } as const;

/** Hands the resources over, and gives the request that accepts or refuses them. */
function answerTo(form: XdsForm, subscription: OwnSubscription, bytes: Buffer, log: Log): OwnRequest {
  const { typeUrl } = subscription;
  const nonce = textIn(bytes, RESPONSE.nonce);
  const version = textIn(bytes, RESPONSE.version);
  try {
    const resources = packedIn(form, bytes);
    if (resources.length > 0) subscription.take(resources);
    return { typeUrl, nonce, version };
  } catch (error) {
    return refusalOf(typeUrl, bytes, error, log);
  }
}

function refusalOf(typeUrl: string, bytes: Buffer, error: unknown, log: Log): OwnRequest {
  const reason = error instanceof Error ? error.message : String(error);
  log.error({ type: typeUrl, reason }, 'the agent refused what the control plane sent');
  const [nonce, version] = [textIn(bytes, RESPONSE.nonce), textIn(bytes, RESPONSE.version)];
  return { typeUrl, nonce, version, error: reason };
}

/** The bytes within the Any of each resource. */
function packedIn(form: XdsForm, bytes: Uint8Array): Uint8Array[] {
  // DiscoveryResponse.resources = 2 are Any; DeltaDiscoveryResponse.resources = 2 are Resource, with the Any in field 2.
  const resources = fields(bytes, RESPONSE.resources);
  const anys = form === 'delta' ? resources.flatMap((resource) => fields(resource, 2)) : resources;
  return anys.map((any) => fields(any, 2)[0] ?? new Uint8Array());
}

/** Length-delimited values of a field. */
function fields(bytes: Uint8Array, field: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  const reader = new WireReader(bytes);
  while (reader.position < bytes.length) {
    const tag = reader.varint();
    if (tag === field * 8 + 2) found.push(reader.span());
    else reader.skip(tag);
  }
  return found;
}
