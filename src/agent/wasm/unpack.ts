// Modules come bare, compressed, or as a file of an archive. In: bytes as fetched; out: the module. Pure but for zlib.

import { gunzipSync } from 'node:zlib';
import { FinalError } from './http.ts';

/** What a module begins with: `\0asm`. */
const WASM_MAGIC = Buffer.from([0x00, 0x61, 0x73, 0x6d]);
const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);
const BLOCK = 512;
/** The name that a module has in an image. */
const MODULE_FILE = 'plugin.wasm';

/** The module within the bytes. Throws when there is none, or when it is larger than `limit` unpacked. */
export function moduleIn(bytes: Buffer, limit: number): Buffer {
  if (startsWith(bytes, WASM_MAGIC)) return bytes;
  if (startsWith(bytes, GZIP_MAGIC)) return moduleIn(inflated(bytes, limit), limit);
  const file = fileInTar(bytes);
  if (file === undefined || !startsWith(file, WASM_MAGIC)) throw new FinalError('what was fetched is no Wasm module');
  return file;
}

function startsWith(bytes: Buffer, prefix: Buffer): boolean {
  return bytes.subarray(0, prefix.length).equals(prefix);
}

function inflated(bytes: Buffer, limit: number): Buffer {
  try {
    return gunzipSync(bytes, { maxOutputLength: limit });
  } catch (error) {
    throw new FinalError(
      `what was fetched can't be unpacked: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** `plugin.wasm`, else the only file that ends in `.wasm`. */
function fileInTar(bytes: Buffer): Buffer | undefined {
  const modules: { readonly name: string; readonly content: Buffer }[] = [];
  for (let at = 0; at + BLOCK <= bytes.length; ) {
    const name = textAt(bytes, at, 100);
    const size = Number.parseInt(textAt(bytes, at + 124, 12).trim() || '0', 8);
    if (name === '' || !Number.isInteger(size) || size < 0) break;
    const start = at + BLOCK;
    const type = String.fromCharCode(bytes[at + 156] ?? 0);
    const isFile = type === '0' || type === '\0';
    const base = name.slice(name.lastIndexOf('/') + 1);
    if (isFile && base.endsWith('.wasm')) modules.push({ name: base, content: bytes.subarray(start, start + size) });
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  return (modules.find(({ name }) => name === MODULE_FILE) ?? (modules.length === 1 ? modules[0] : undefined))?.content;
}

function textAt(bytes: Buffer, start: number, length: number): string {
  const field = bytes.toString('latin1', start, start + length);
  const end = field.indexOf('\0');
  return end < 0 ? field : field.slice(0, end);
}
