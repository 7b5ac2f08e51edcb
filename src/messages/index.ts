// The messages of the xDS API in their canonical proto3-JSON form, as readonly types.
// In: nothing (types.ts and schema.ts are written by `npm run generate` from the protos).
// Out: one interface per message, `Messages` by full name, short aliases, and SCHEMA, which src/codec runs on.
// Called by translate and everything else that builds or reads Envoy resources.
export type * from './generated/types.ts';
export { SCHEMA } from './generated/schema.ts';
export { Encoded } from './encoded.ts';
export type { AnyMessage, EmptyMessage, JsonObject, JsonValue } from './json.ts';
export type { Schema } from './schema-shape.ts';
