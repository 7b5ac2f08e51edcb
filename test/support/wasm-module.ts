// Proxy-wasm modules (ABI 0.2.1) put together by hand: one adds a header to every response, another one a word to what a
// connection brings. Small enough to be read.

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

const DATA_AT = 0;
const HEAP_AT = 1024;
/** Of response headers among maps, and of what a client sends among buffers, in the ABI. */
const RESPONSE_HEADERS = 2;
const DOWNSTREAM_DATA = 2;
/** Index of the function of Envoy. */
const CALL = 0;

/** A module for HTTP: the header comes with every response. */
export function headerModule(name: string, value: string): Buffer {
  const [key, rest] = [Buffer.byteLength(name), Buffer.byteLength(value)];
  return build({
    ...{ data: name + value, host: 'proxy_add_header_map_value' },
    call: [RESPONSE_HEADERS, DATA_AT, key, DATA_AT + key, rest],
    hook: 'proxy_on_response_headers',
  });
}

/** A module for connections: the word stands in front of each piece that the client sends. */
export function wordModule(word: string): Buffer {
  return build({
    ...{ data: word, host: 'proxy_set_buffer_bytes' },
    call: [DOWNSTREAM_DATA, 0, 0, DATA_AT, Buffer.byteLength(word)],
    hook: 'proxy_on_downstream_data',
  });
}

interface Module {
  readonly data: string;
  /** The function of Envoy that is called, with five numbers, */
  readonly host: string;
  readonly call: readonly number[];
  /** whenever this function of the module is. */
  readonly hook: string;
}

function build({ data, host, call, hook }: Module): Buffer {
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
      name: hook,
      parameters: 3,
      results: 1,
      body: [...call.flatMap(constant), 0x10, CALL, 0x1a, ...constant(0)],
    },
  ];
  const types = [signature(5, 1), ...functions.map(({ parameters, results }) => signature(parameters, results))];
  const exported = functions.map((code, index): Bytes => [...text(code.name), 0, ...u32(index + 1)]);
  return Buffer.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, vector(types)),
    ...section(2, vector([[...text('env'), ...text(host), 0, 0]])),
    ...section(3, vector(functions.map((_, index) => u32(index + 1)))),
    ...section(5, [1, 0, 1]),
    ...section(6, vector([[I32, 1, ...constant(HEAP_AT), END]])),
    ...section(7, vector([[...text('memory'), 2, 0], ...exported])),
    ...section(10, vector(functions.map(({ body }) => [...u32(body.length + 2), 0, ...body, END]))),
    ...section(11, vector([[0, ...constant(DATA_AT), END, ...text(data)]])),
  ]);
}
