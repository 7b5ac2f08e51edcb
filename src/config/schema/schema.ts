// The subset of JSON Schema in which kinds are described, as CustomResourceDefinitions use it.
// The walker over it is in conform.ts; typed.ts builds such schemas together with their TypeScript types.

export interface Schema {
  readonly type?: string | undefined;
  readonly properties?: Readonly<Record<string, Schema>> | undefined;
  readonly items?: Schema | undefined;
  /** The values of a map; `true`: anything. */
  readonly additionalProperties?: Schema | true | undefined;
  /** Fields that are not listed are left out of the projection without a word. */
  readonly open?: boolean | undefined;
  readonly required?: readonly string[] | undefined;
  /** At most one field of each group may be set: protobuf's oneof. */
  readonly exclusive?: readonly (readonly string[])[] | undefined;
  readonly enum?: readonly unknown[] | undefined;
  readonly minimum?: number | undefined;
  readonly maximum?: number | undefined;
  readonly minLength?: number | undefined;
  readonly maxLength?: number | undefined;
  readonly minItems?: number | undefined;
  readonly maxItems?: number | undefined;
  readonly pattern?: string | undefined;
  readonly format?: string | undefined;
  /** Kubernetes' IntOrString. */
  readonly intOrString?: boolean | undefined;
}

/** A breach of the schema, before it is tied to an object. */
export interface Problem {
  readonly kind: 'wrong' | 'unknown-field';
  readonly path: string;
  readonly message: string;
  readonly expected?: string | undefined;
}
