// A proxy-wasm module (ABI 0.2.1) put together by hand: it adds one header to every response. Small enough to be read.

type Bytes = readonly number[];

const I32 = 0x7f;
const END = 0x0b;

/** Unsigned LEB128. */
function u32(value: number): Bytes {
  return value < 128 ? [value] : [(value & 127) | 128, ...u32(value >>> 7)];
}

/** Signed LEB128, as constants have it. */
function i32(value: number): Bytes {
  const low = value & 127;
  const rest = value >> 7;
  const isDone = (rest === 0 && (low & 64) === 0) || (rest === -1 && (low & 64) !== 0);
  return isDone ? [low] : [low | 128, ...i32(rest)];
}

const vector = (items: readonly Bytes[]): Bytes => [...u32(items.length), ...items.flat()];
const text = (value: string): Bytes => [...u32(value.length), ...Buffer.from(value)];
const section = (id: number, content: Bytes): Bytes => [id, ...u32(content.length), ...content];
const signature = (parameters: number, results: number): Bytes => [
  0x60,
  ...vector(Array.from({ length: parameters }, () => [I32])),
  ...vector(Array.from({ length: results }, () => [I32])),
];
const constant = (value: number): Bytes => [0x41, ...i32(value)];

/** Functions of the module: what each takes and gives, and its body. */
interface Code {
  readonly name: string;
  readonly parameters: number;
  readonly results: 0 | 1;
  readonly body: Bytes;
}

const HEADER_AT = 0;
const HEAP_AT = 1024;
/** Of response headers, in the ABI. */
const RESPONSE_HEADERS = 2;
const ADD = 0;

/** The module's bytes. */
export function headerModule(name: string, value: string): Buffer {
  const add = [HEADER_AT, name.length, HEADER_AT + name.length, value.length].flatMap(constant);
  const functions: readonly Code[] = [
    { name: 'proxy_abi_version_0_2_1', parameters: 0, results: 0, body: [] },
    // Memory is handed out one piece after the other, and never taken back.
    {
      name: 'proxy_on_memory_allocate',
      parameters: 1,
      results: 1,
      body: [0x23, 0, 0x23, 0, 0x20, 0, 0x6a, 0x24, 0],
    },
    { name: 'proxy_on_context_create', parameters: 2, results: 0, body: [] },
    { name: 'proxy_on_vm_start', parameters: 2, results: 1, body: constant(1) },
    { name: 'proxy_on_configure', parameters: 2, results: 1, body: constant(1) },
    {
      name: 'proxy_on_response_headers',
      parameters: 3,
      results: 1,
      body: [...constant(RESPONSE_HEADERS), ...add, 0x10, ADD, 0x1a, ...constant(0)],
    },
  ];
  const types = [signature(5, 1), ...functions.map(({ parameters, results }) => signature(parameters, results))];
  const exported = functions.map((code, index): Bytes => [...text(code.name), 0, ...u32(index + 1)]);
  return Buffer.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, vector(types)),
    ...section(2, vector([[...text('env'), ...text('proxy_add_header_map_value'), 0, 0]])),
    ...section(3, vector(functions.map((_, index) => u32(index + 1)))),
    ...section(5, [1, 0, 1]),
    ...section(6, vector([[I32, 1, ...constant(HEAP_AT), END]])),
    ...section(7, vector([[...text('memory'), 2, 0], ...exported])),
    ...section(10, vector(functions.map(({ body }) => [...u32(body.length + 2), 0, ...body, END]))),
    ...section(11, vector([[0, ...constant(HEADER_AT), END, ...text(name + value)]])),
  ]);
}
