/** What JSON.parse gives; `null` is a value here, unlike anywhere else in the code. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;

/** google.protobuf.Struct */
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/** google.protobuf.Empty, and every message without fields */
export type EmptyMessage = { readonly [key: string]: never };

/** google.protobuf.Any: the packed message's own fields beside its type; well-known types sit under `value`. */
export interface AnyMessage {
  readonly '@type': string;
  readonly [field: string]: unknown;
}
