// The shape of the generated SCHEMA. Types are packed into short strings and unpacked when first used, so that loading
// costs one JSON.parse of a flat object.

/**
 * `messages` and `enums`: full names, in the order that references count in.
 * `fields[i]`: the fields of `messages[i]`, joined by `,`; a field is
 * `name number type`, then each of ` o<n>` (in the n-th oneof), ` p` (proto3 optional), ` x` (deprecated).
 * A type is a scalar letter, `m<n>` or `e<n>` (n in base 36), preceded by `*` (repeated), `+` (repeated, packed) or
 * `%<key scalar>` (map). Scalar letters are those of SCALARS in src/codec/scalars.ts.
 * `values[i]`: the members of `enums[i]`, `NAME=number` joined by `,`.
 */
export interface Schema {
  readonly messages: readonly string[];
  readonly fields: readonly string[];
  readonly enums: readonly string[];
  readonly values: readonly string[];
}
