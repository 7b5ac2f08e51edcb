// envoy.config.core.v3.Node from its bytes, as much of it as a control plane uses, in canonical JSON form.
// In: bytes. Out: a NodeInfo. Called by the decoders of requests, for the first request of a stream.

import type { NodeInfo } from './port.ts';
import { WireError, type WireReader } from './wire.ts';

/** google.protobuf.Struct nests as deep as a client likes; a real node's metadata is a few levels deep. */
const MAX_DEPTH = 64;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Reads a Node; throws a WireError on bytes that aren't one. */
export function readNode(reader: WireReader): NodeInfo {
  const node: Mutable<NodeInfo> = { id: '' };
  while (reader.next()) {
    if (reader.field === 1) node.id = reader.text();
    else if (reader.field === 2) node.cluster = reader.text();
    else if (reader.field === 3) node.metadata = readStruct(reader.nested(), 0);
    else if (reader.field === 4) node.locality = readLocality(reader.nested());
    else if (reader.field === 6) node.userAgentName = reader.text();
    else if (reader.field === 7) node.userAgentVersion = reader.text();
    else if (reader.field === 8) node.userAgentVersion ??= readBuildVersion(reader.nested());
  }
  return node;
}

function readLocality(reader: WireReader): NonNullable<NodeInfo['locality']> {
  const locality: Mutable<NonNullable<NodeInfo['locality']>> = {};
  while (reader.next()) {
    if (reader.field === 1) locality.region = reader.text();
    else if (reader.field === 2) locality.zone = reader.text();
    else if (reader.field === 3) locality.subZone = reader.text();
  }
  return locality;
}

/** envoy.config.core.v3.BuildVersion {version = 1: envoy.type.v3.SemanticVersion}, as `major.minor.patch`. */
function readBuildVersion(reader: WireReader): string | undefined {
  let version: string | undefined;
  while (reader.next()) {
    if (reader.field !== 1) continue;
    const parts = [0, 0, 0];
    const semantic = reader.nested();
    while (semantic.next()) if (semantic.wireType === 0) parts[semantic.field - 1] = semantic.value;
    version = parts.slice(0, 3).join('.');
  }
  return version;
}

/** google.protobuf.Struct as a plain object. */
function readStruct(reader: WireReader, depth: number): Record<string, unknown> {
  if (depth > MAX_DEPTH) throw new WireError('metadata is nested too deeply');
  const entries: [string, unknown][] = [];
  while (reader.next()) {
    if (reader.field !== 1) continue;
    const entry = reader.nested();
    let key = '';
    let value: unknown = null;
    while (entry.next()) {
      if (entry.field === 1) key = entry.text();
      else if (entry.field === 2) value = readValue(entry.nested(), depth + 1);
    }
    entries.push([key, value]);
  }
  return Object.fromEntries(entries);
}

/** google.protobuf.Value; its null is JSON's, here and nowhere else. */
function readValue(reader: WireReader, depth: number): unknown {
  let value: unknown = null;
  while (reader.next()) {
    if (reader.field === 2) value = reader.double();
    else if (reader.field === 3) value = reader.text();
    else if (reader.field === 4) value = reader.value !== 0;
    else if (reader.field === 5) value = readStruct(reader.nested(), depth + 1);
    else if (reader.field === 6) value = readList(reader.nested(), depth + 1);
  }
  return value;
}

function readList(reader: WireReader, depth: number): unknown[] {
  if (depth > MAX_DEPTH) throw new WireError('metadata is nested too deeply');
  const values: unknown[] = [];
  while (reader.next()) if (reader.field === 1) values.push(readValue(reader.nested(), depth + 1));
  return values;
}
