// DNS messages (RFC 1035, RFC 6891), as much of them as a server needs that answers addresses itself and passes all else on.
// In: bytes of a query, answers; out: a Query, bytes of a response. Strict: what is malformed is undefined. Pure but for Buffer.

export const TYPE = { A: 1, CNAME: 5, AAAA: 28, OPT: 41 } as const;
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NOTIMP: 4 } as const;

export interface Query {
  readonly id: number;
  /** Lower case, with a dot at the end; the root is `.`. */
  readonly name: string;
  readonly type: number;
  readonly isInternet: boolean;
  readonly opcode: number;
  readonly recursionDesired: boolean;
  /** What the client can take over UDP, octets; undefined without EDNS. */
  readonly ednsSize: number | undefined;
  /** The question as it was asked, to be repeated in the response. */
  readonly question: Buffer;
}

export type Answer =
  | { readonly kind: 'cname'; readonly target: string }
  /** Owned by the question, or by the target of the CNAME before it. */
  | { readonly kind: 'address'; readonly bytes: Uint8Array };

export interface Reply {
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly answers: readonly Answer[];
  /** Seconds. */
  readonly ttl: number;
}

const HEADER = 12;
const CLASS_IN = 1;
const FLAG = {
  response: 0x8000,
  authoritative: 0x0400,
  truncated: 0x0200,
  desired: 0x0100,
  available: 0x0080,
} as const;
/** Smallest size that every client takes over UDP. */
const MIN_UDP = 512;
/** What this server says of itself. */
const OWN_UDP = 4096;

/** A query with one question; undefined for anything else, responses included. */
export function parseQuery(bytes: Buffer): Query | undefined {
  if (bytes.length < HEADER) return undefined;
  const flags = bytes.readUInt16BE(2);
  if ((flags & FLAG.response) !== 0 || bytes.readUInt16BE(4) !== 1) return undefined;
  const name = readName(bytes, HEADER);
  if (name === undefined || name.next + 4 > bytes.length) return undefined;
  const end = name.next + 4;
  const ednsSize = ednsSizeOf(bytes, end);
  if (ednsSize === 'malformed') return undefined;
  return {
    id: bytes.readUInt16BE(0),
    name: name.text.toLowerCase(),
    type: bytes.readUInt16BE(name.next),
    isInternet: bytes.readUInt16BE(name.next + 2) === CLASS_IN,
    opcode: (flags >> 11) & 15,
    recursionDesired: (flags & FLAG.desired) !== 0,
    ednsSize,
    question: bytes.subarray(HEADER, end),
  };
}

/** The first 12 octets are enough to say that the rest can't be read. */
export function formatError(bytes: Buffer): Buffer | undefined {
  if (bytes.length < HEADER || (bytes.readUInt16BE(2) & FLAG.response) !== 0) return undefined;
  const response = Buffer.alloc(HEADER);
  bytes.copy(response, 0, 0, 2);
  response.writeUInt16BE(FLAG.response | (bytes.readUInt16BE(2) & (0x7800 | FLAG.desired)) | RCODE.FORMERR, 2);
  return response;
}

/** A name, and where the octet after it is. Questions hold no pointers: nothing stands before them. */
function readName(bytes: Buffer, start: number): { readonly text: string; readonly next: number } | undefined {
  let text = '';
  let at = start;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || length > 63) return undefined;
    at++;
    if (length === 0) break;
    if (at + length > bytes.length || at + length - start > 254) return undefined;
    // A dot within a label is no separator.
    text += `${bytes.toString('latin1', at, at + length).replaceAll('.', '\\.')}.`;
    at += length;
  }
  return { text: text === '' ? '.' : text, next: at };
}

/** Looks for the OPT record behind the question; other records in a query are passed over. */
function ednsSizeOf(bytes: Buffer, start: number): number | undefined | 'malformed' {
  const records = bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
  let at = start;
  let size: number | undefined;
  for (let index = 0; index < records; index++) {
    const name = skipName(bytes, at);
    if (name === undefined || name + 10 > bytes.length) return 'malformed';
    const end = name + 10 + bytes.readUInt16BE(name + 8);
    if (end > bytes.length) return 'malformed';
    if (bytes.readUInt16BE(name) === TYPE.OPT) size = Math.max(MIN_UDP, bytes.readUInt16BE(name + 2));
    at = end;
  }
  return size;
}

function skipName(bytes: Buffer, start: number): number | undefined {
  for (let at = start; ; ) {
    const length = bytes[at];
    if (length === undefined) return undefined;
    if (length >= 0xc0) return at + 2 <= bytes.length ? at + 2 : undefined;
    if (length > 63) return undefined;
    at += 1 + length;
    if (length === 0) return at;
  }
}

/** The size that a response over UDP may have. */
export function udpLimit(query: Query): number {
  return Math.min(OWN_UDP, query.ednsSize ?? MIN_UDP);
}

/** A response. Answers beyond the limit are left out, and the response says that it was truncated. */
export function writeReply(query: Query, reply: Reply, limit: number): Buffer {
  const opt = query.ednsSize === undefined ? EMPTY : optRecord();
  const parts: Buffer[] = [];
  let owner: Buffer = QUESTION_POINTER;
  let size = HEADER + query.question.length + opt.length;
  let truncated = false;
  for (const answer of reply.answers) {
    const record = recordOf(owner, answer, reply.ttl);
    if (size + record.length > limit) {
      truncated = true;
      break;
    }
    parts.push(record);
    size += record.length;
    if (answer.kind === 'cname') owner = writeName(answer.target);
  }
  const header = Buffer.alloc(HEADER);
  header.writeUInt16BE(query.id, 0);
  header.writeUInt16BE(flagsOf(query, reply, truncated), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(parts.length, 6);
  header.writeUInt16BE(opt.length === 0 ? 0 : 1, 10);
  return Buffer.concat([header, query.question, ...parts, opt]);
}

const EMPTY = Buffer.alloc(0);
/** To where the question is, behind the header. */
const QUESTION_POINTER = Buffer.from([0xc0, HEADER]);

function flagsOf(query: Query, reply: Reply, truncated: boolean): number {
  return (
    FLAG.response |
    (query.opcode << 11) |
    (reply.authoritative ? FLAG.authoritative : 0) |
    (truncated ? FLAG.truncated : 0) |
    (query.recursionDesired ? FLAG.desired : 0) |
    FLAG.available |
    reply.rcode
  );
}

function recordOf(owner: Buffer, answer: Answer, ttl: number): Buffer {
  const data = answer.kind === 'cname' ? writeName(answer.target) : answer.bytes;
  const type = answer.kind === 'cname' ? TYPE.CNAME : data.length === 4 ? TYPE.A : TYPE.AAAA;
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(CLASS_IN, 2);
  fixed.writeUInt32BE(ttl, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([owner, fixed, data]);
}

function writeName(name: string): Buffer {
  const labels = name.split('.').filter((label) => label !== '');
  return Buffer.concat([
    ...labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, 'latin1')]),
    Buffer.from([0]),
  ]);
}

function optRecord(): Buffer {
  const opt = Buffer.alloc(11);
  opt.writeUInt16BE(TYPE.OPT, 1);
  opt.writeUInt16BE(OWN_UDP, 3);
  return opt;
}
