// Debug types as streams see them: what is asked is answered once, in full, whatever the names of the answer are.

import { describe, expect, it } from 'vitest';
import { debugSession } from '../../src/console/debug-session.ts';
import type { ConsolePort } from '../../src/console/port.ts';
import { Encoder } from '../../src/xds/encode.ts';
import { xdsMetrics } from '../../src/xds/metrics.ts';
import { NamePool } from '../../src/xds/names.ts';
import { Scheduler } from '../../src/xds/scheduler.ts';
import { XdsStream } from '../../src/xds/stream.ts';
import { Gate } from '../../src/xds/gate.ts';
import { Unanswered } from '../../src/xds/unanswered.ts';
import { bytesField, stringField, WireReader } from '../../src/xds/wire.ts';
import { between, ManualTimers, Metrics, silentLog } from '../xds/support.ts';
import { connection, consoleOf } from './support.ts';

const DUMP = 'istio.io/debug/config_dump';
const PEER = { address: '127.0.0.1:1', plaintext: true, identities: [] };
const NODE = bytesField(2, stringField(1, 'debug~0.0.0.0~istioctl~cluster.local'));

/** Sends requests; gives the number of resources of each answer so far, and the nonce of the last. */
class Tool {
  readonly answers: number[] = [];
  nonce = '';
  readonly #stream: XdsStream;
  #due: (() => void)[] = [];

  constructor(port: ConsolePort) {
    const timers = new ManualTimers();
    const clock = { now: () => timers.now };
    const outlet = {
      write: (message: { bytes(): Buffer }) => {
        const reader = new WireReader(message.bytes());
        let resources = 0;
        while (reader.next()) {
          if (reader.field === 2) resources++;
          else if (reader.field === 5) this.nonce = reader.text();
        }
        this.answers.push(resources);
        return true;
      },
      end: () => {},
      taken: () => 0,
    };
    const metrics = xdsMetrics(new Metrics());
    const defer = (run: () => void): void => void this.#due.push(run);
    const context = {
      unsent: new Gate({ timers, limit: 0, maxWait: 1000, waiting: metrics.waiting }),
      unanswered: new Unanswered({ timers, limit: 0, waiting: metrics.waitingPushes }),
      port: between.port({ connect: (node, peer) => debugSession(port, peer, node) }, defer),
      clock,
      timers,
      log: silentLog,
      metrics,
      pool: new NamePool(),
      encoder: new Encoder(),
      scheduler: new Scheduler({ clock, defer }),
      orderTimeout: 1000,
      writeTimeout: 1000,
    };
    this.#stream = new XdsStream('sotw', PEER, outlet, context, 's');
  }

  ask(typeUrl: string, nonce: string, ...names: string[]): readonly number[] {
    const asked = names.map((name) => bytesField(3, Buffer.from(name)));
    this.#stream.request(Buffer.concat([NODE, ...asked, stringField(4, typeUrl), stringField(5, nonce)]));
    for (let run = this.#due.shift(); run !== undefined; run = this.#due.shift()) run();
    return this.answers;
  }
}

describe('a question over xDS', () => {
  const port = consoleOf([connection('a.ns'), connection('b.ns')]);

  it('is answered even if its first request carries a nonce of its own', () => {
    expect(new Tool(port).ask(DUMP, '2026-01-01 00:00:00', 'a.ns')).toEqual([8]);
    expect(new Tool(port).ask('istio.io/debug/syncz', 'x')).toEqual([2]);
    expect(new Tool(port).ask('istio.io/debug', 'x', 'list')).toEqual([1]);
  });

  it('is answered with nothing when there is nothing', () => {
    expect(new Tool(port).ask(DUMP, '', 'c.ns')).toEqual([0]);
  });

  it('is not answered again when its answer is acknowledged', () => {
    const tool = new Tool(port);
    tool.ask(DUMP, '', 'a.ns');
    expect(tool.ask(DUMP, tool.nonce, 'a.ns')).toEqual([8]);
    expect(tool.ask(DUMP, tool.nonce)).toEqual([8]);
  });

  it('may be followed by another', () => {
    const tool = new Tool(port);
    tool.ask(DUMP, '', 'a.ns');
    expect(tool.ask(DUMP, tool.nonce, 'b.ns')).toEqual([8, 8]);
    expect(tool.ask(DUMP, tool.nonce, 'c.ns')).toEqual([8, 8, 0]);
    expect(tool.ask('istio.io/debug/syncz', '')).toEqual([8, 8, 0, 2]);
  });
});
