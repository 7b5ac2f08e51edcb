import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLog } from '../../src/telemetry/log.ts';
import { createPlainLog } from '../../src/telemetry/plain-log.ts';
import type { LogOptions, LogRoot } from '../../src/telemetry/scopes.ts';

type Say = (root: LogRoot) => void;

function linesOf(create: (options: LogOptions) => LogRoot, options: LogOptions, say: Say): string[] {
  const lines: string[] = [];
  say(create({ ...options, destination: { write: (line) => void lines.push(line) } }));
  return lines.map((line) => line.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME'));
}

function expectSame(options: LogOptions, say: Say): string {
  const lines = linesOf(createPlainLog, options, say);
  expect(lines).toEqual(linesOf(createLog, options, say));
  return lines.join('');
}

const SECRET = 'top-secret';
/** Names that mean something to the log itself are not for fields; nor are numbers, which JavaScript sorts first. */
const key = fc.oneof(
  fc.constantFrom('token', 'authorization', 'privateKey', 'password'),
  fc.stringMatching(/^[A-Za-z][\w ."-]{0,7}$/).filter((name) => !['level', 'time', 'msg', 'err'].includes(name)),
);
const scalar = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.constant(undefined),
);
const inner = fc.dictionary(key, fc.oneof(scalar, fc.array(scalar, { maxLength: 3 })), { maxKeys: 4 });
const fields = fc.dictionary(key, fc.oneof(scalar, inner, fc.array(scalar, { maxLength: 3 })), { maxKeys: 5 });

describe("the agent's log", () => {
  it("writes the server's lines, character by character", () => {
    fc.assert(
      fc.property(fields, fc.string(), fc.boolean(), (given, message, json) => {
        expectSame({ json }, ({ log }) => log.child('dns').warn(given, message));
      }),
    );
  });

  it('cuts credentials', () => {
    const given = { token: SECRET, request: { authorization: SECRET, path: '/' }, password: SECRET };
    for (const json of [true, false]) {
      const text = expectSame({ json }, ({ log }) => log.error(given, 'refused'));
      expect(text).toContain('[Redacted]');
      expect(text).not.toContain(SECRET);
    }
  });

  it('knows levels for each scope, also while running', () => {
    expectSame({ levels: 'warn,ads:debug' }, ({ log, setLevel }) => {
      log.info({}, 'left out');
      log.child('ads').debug({ n: 1 }, 'said');
      expect([setLevel('ads', 'loud'), setLevel('default', 'info')]).toEqual([false, true]);
      log.info({}, 'said as well');
    });
  });

  it('writes a line whatever is in it', () => {
    const circle: { self?: object } = {};
    circle.self = circle;
    const [line = ''] = linesOf(createPlainLog, { json: true }, ({ log }) => log.info({ circle, n: 1 }, 'still said'));
    expect(JSON.parse(line)).toMatchObject({ n: 1, msg: 'still said' });
  });
});
