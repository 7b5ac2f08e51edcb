// A DNS client for tests: writes queries and reads responses by its own code, apart from what it tests.

import { createSocket } from 'node:dgram';
import { connect } from 'node:net';

export interface QueryOptions {
  readonly id?: number | undefined;
  readonly edns?: number | undefined;
}

export function queryBytes(name: string, type: number, { id = 1, edns }: QueryOptions = {}): Buffer {
  const header = Buffer.from([id >> 8, id & 255, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, edns === undefined ? 0 : 1]);
  const labels = name.split('.').filter((label) => label !== '');
  const question = Buffer.concat([
    ...labels.map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`, 'latin1')),
    Buffer.from([0, type >> 8, type & 255, 0, 1]),
  ]);
  const opt = edns === undefined ? Buffer.alloc(0) : Buffer.from([0, 0, 41, edns >> 8, edns & 255, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, question, opt]);
}

export interface ReadAnswer {
  readonly name: string;
  readonly type: number;
  readonly ttl: number;
  /** An address, or a name. */
  readonly data: string;
}

export interface ReadResponse {
  readonly id: number;
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly question: string;
  readonly answers: readonly ReadAnswer[];
  readonly hasOpt: boolean;
}

export function readResponse(bytes: Buffer): ReadResponse {
  const flags = bytes.readUInt16BE(2);
  if ((flags & 0x8000) === 0) throw new Error('not a response');
  const asked = bytes.readUInt16BE(4);
  let at = 12;
  let question = '';
  if (asked === 1) {
    [question, at] = readName(bytes, at);
    at += 4;
  }
  const answers: ReadAnswer[] = [];
  let hasOpt = false;
  const count = bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
  for (let index = 0; index < count; index++) {
    let name: string;
    [name, at] = readName(bytes, at);
    const type = bytes.readUInt16BE(at);
    const ttl = bytes.readUInt32BE(at + 4);
    const length = bytes.readUInt16BE(at + 8);
    at += 10;
    if (type === 41) hasOpt = true;
    else answers.push({ name, type, ttl, data: dataOf(bytes, type, at, length) });
    at += length;
  }
  if (at !== bytes.length) throw new Error('octets behind the end');
  return {
    id: bytes.readUInt16BE(0),
    rcode: flags & 15,
    authoritative: (flags & 0x0400) !== 0,
    truncated: (flags & 0x0200) !== 0,
    question,
    answers,
    hasOpt,
  };
}

function dataOf(bytes: Buffer, type: number, at: number, length: number): string {
  if (type === 5) return readName(bytes, at)[0];
  if (length === 4) return [...bytes.subarray(at, at + 4)].join('.');
  return bytes.toString('hex', at, at + length);
}

function readName(bytes: Buffer, start: number): [name: string, next: number] {
  let [name, at] = ['', start];
  for (;;) {
    const length = bytes[at] ?? 0;
    if (length >= 0xc0) return [name + readName(bytes, ((length & 63) << 8) | (bytes[at + 1] ?? 0))[0], at + 2];
    if (length === 0) return [name, at + 1];
    name += `${bytes.toString('latin1', at + 1, at + 1 + length)}.`;
    at += 1 + length;
  }
}

export async function askUdp(port: number, query: Buffer, host = '127.0.0.1'): Promise<ReadResponse> {
  const socket = createSocket('udp4');
  try {
    const answer = new Promise<Buffer>((resolve, reject) => {
      socket.on('message', resolve);
      socket.on('error', reject);
    });
    socket.send(query, port, host);
    return readResponse(await answer);
  } finally {
    socket.close();
  }
}

/** All queries at once over one connection, cut into pieces; gives the responses in order of arrival. */
export async function askTcp(port: number, queries: readonly Buffer[], host = '127.0.0.1'): Promise<ReadResponse[]> {
  const socket = connect(port, host);
  const stream = Buffer.concat(
    queries.flatMap((query) => [Buffer.from([query.length >> 8, query.length & 255]), query]),
  );
  socket.write(stream.subarray(0, 5));
  setImmediate(() => socket.write(stream.subarray(5)));
  const responses: ReadResponse[] = [];
  let rest = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
      const end = 2 + rest.readUInt16BE(0);
      responses.push(readResponse(rest.subarray(2, end)));
      rest = rest.subarray(end);
    }
    if (responses.length === queries.length) break;
  }
  return responses;
}
