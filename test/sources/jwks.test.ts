import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Log, Meter, Timers } from '../../src/lib/ports.ts';
import { type JwksResolver, jwksResolver, type WantedKeys } from '../../src/sources/jwks.ts';
import { fetchKeys } from '../../src/sources/jwks-fetch.ts';
import { until } from '../support/wait.ts';

const KEYS = JSON.stringify({ keys: [{ kty: 'oct', k: 'AQAB' }] });

let server: Server;
let base = '';
/** What the server answers, by path. */
const answers = new Map<string, (request: IncomingMessage, response: ServerResponse) => void>();

beforeAll(async () => {
  server = createServer((request, response) => {
    const answer = answers.get(request.url ?? '');
    if (answer === undefined) response.writeHead(404).end();
    else answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const say =
  (text: string, status = 200) =>
  (_: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(status).end(text);
  };

const never = new AbortController().signal;

describe('one key set', () => {
  const keysAt = (path: string, timeout = 5000): Promise<string> =>
    fetchKeys({ kind: 'jwks', uri: `${base}${path}` }, timeout, never);

  it('is fetched from its address', async () => {
    answers.set('/keys', say(KEYS));
    expect(await keysAt('/keys')).toBe(KEYS);
  });

  it("is found by the issuer's discovery document", async () => {
    answers.set('/keys', say(KEYS));
    answers.set('/.well-known/openid-configuration', say(JSON.stringify({ jwks_uri: `${base}/keys` })));
    const uri = `${base}/.well-known/openid-configuration`;
    expect(await fetchKeys({ kind: 'discovery', uri }, 5000, never)).toBe(KEYS);
    answers.set('/.well-known/openid-configuration', say(JSON.stringify({ jwks_uri: 'file:///etc/passwd' })));
    await expect(fetchKeys({ kind: 'discovery', uri }, 5000, never)).rejects.toThrow('names no jwks_uri');
  });

  it.each([
    ['another status', say('', 503), 'answers 503'],
    ['no JSON', say('<html>'), 'is no JSON'],
    ['no keys', say('{}'), 'holds no "keys"'],
    ['too much', say('x'.repeat(2 * 1024 * 1024)), 'more than'],
    ['silence', () => undefined, 'timeout'],
    ['a broken connection', (request: IncomingMessage) => void request.socket.destroy(), 'bad'],
  ])('is refused for %s', async (_name, answer, reason) => {
    answers.set('/bad', answer);
    await expect(keysAt('/bad', 300)).rejects.toThrow(reason);
  });
});

describe('a resolver', () => {
  const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => quiet };
  const counts = { success: 0, fail: 0 };
  const meter: Meter = {
    counter: (name) => ({ inc: () => void counts[name.includes('fail') ? 'fail' : 'success']++ }),
    gauge: () => ({ set: () => {} }),
    histogram: () => ({ observe: () => {} }),
  };
  let resolver: JwksResolver | undefined;
  afterEach(() => resolver?.stop());

  /** Timers that run when told, by the wait that they were given. */
  function handTimers() {
    const waiting: { fn: () => void; ms: number }[] = [];
    const timers: Timers = {
      setTimeout: (fn, ms) => {
        const entry = { fn, ms };
        waiting.push(entry);
        return () => void waiting.splice(waiting.indexOf(entry) >>> 0, 1);
      },
    };
    return {
      timers,
      waiting,
      waits: () => waiting.map(({ ms }) => ms),
      fire: () => waiting.splice(0).forEach(({ fn }) => fn()),
    };
  }

  const wanted = (name: string): WantedKeys => ({ source: { kind: 'jwks', uri: name }, timeout: 1000 });

  it('fetches, retries soon after a failure, keeps what it has, and refreshes', async () => {
    const hand = handTimers();
    let answer: () => Promise<string> = () => Promise.reject(new Error('down'));
    let changes = 0;
    resolver = jwksResolver({
      log: quiet,
      meter,
      timers: hand.timers,
      fetch: () => answer(),
      onChange: () => void changes++,
    });
    resolver.want([wanted('a')]);
    const next = async (wait: number): Promise<void> => {
      await until(async () => hand.waits().includes(wait), `a wait of ${wait}`);
    };
    await next(1000);
    hand.fire();
    await next(2000);
    expect([...resolver.current()]).toEqual([]);
    answer = () => Promise.resolve('one');
    hand.fire();
    await next(20 * 60_000);
    expect([...resolver.current()]).toEqual([['a', 'one']]);
    answer = () => Promise.reject(new Error('down again'));
    hand.fire();
    await next(1000);
    expect([...resolver.current()]).toEqual([['a', 'one']]);
    answer = () => Promise.resolve('two');
    hand.fire();
    await next(20 * 60_000);
    expect([...resolver.current()]).toEqual([['a', 'two']]);
    expect(changes).toBe(2);
    resolver.want([]);
    expect(hand.waits()).toEqual([]);
    expect([...resolver.current()]).toEqual([]);
  });

  it('waits for nobody: one set that hangs holds up no other', async () => {
    const hand = handTimers();
    resolver = jwksResolver({
      log: quiet,
      meter,
      timers: hand.timers,
      fetch: ({ uri }) => (uri === 'hangs' ? new Promise(() => {}) : Promise.resolve('keys')),
      onChange: () => {},
    });
    resolver.want([wanted('hangs'), wanted('works')]);
    const tried = resolver.tried(2000);
    await until(async () => resolver?.current().get('works') === 'keys', 'the other set');
    // Its time is up.
    hand.waiting.find(({ ms }) => ms === 2000)?.fn();
    await tried;
  });

  it('gives the same map while nothing changed', async () => {
    const hand = handTimers();
    resolver = jwksResolver({
      log: quiet,
      meter,
      timers: hand.timers,
      fetch: () => Promise.resolve('k'),
      onChange: () => {},
    });
    resolver.want([wanted('a')]);
    await resolver.tried(1000);
    const before = resolver.current();
    resolver.want([wanted('a'), wanted('a')]);
    hand.fire();
    await until(async () => hand.waits().length === 1, 'the next fetch');
    expect(resolver.current()).toBe(before);
  });
});
