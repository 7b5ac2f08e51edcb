import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { parseResolvConf } from '../../../src/agent/dns/resolv-conf.ts';
import { type DnsOptions, type DnsServer, serveDns } from '../../../src/agent/dns/server.ts';
import type { Resolver } from '../../../src/agent/dns/upstream.ts';
import { encode } from '../../../src/codec/index.ts';
import { recordingLog, recordingMeter, realTimers } from '../../ca/support.ts';
import { freePorts } from '../support.ts';
import { askTcp, askUdp, queryBytes } from './support.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const [A, AAAA, TXT, CNAME] = [1, 28, 16, 5];
const [NOERROR, SERVFAIL, NXDOMAIN] = [0, 2, 3];

const TABLE = {
  'web.shop.svc.cluster.local': {
    ips: ['10.0.0.1', '10.0.0.2'],
    registry: 'Kubernetes',
    shortname: 'web',
    namespace: 'shop',
  },
  'db.data.svc.cluster.local': {
    ips: ['10.0.0.3', 'fd00::3'],
    registry: 'Kubernetes',
    shortname: 'db',
    namespace: 'data',
  },
  'db-0.db.data.svc.cluster.local': {
    ips: ['10.0.0.4'],
    registry: 'Kubernetes',
    shortname: 'db-0.db',
    namespace: 'data',
  },
  'far.shop.svc.clusterset.local': { ips: ['10.0.0.5'], registry: 'Kubernetes', shortname: '', namespace: '' },
  'api.example.com': { ips: ['240.240.0.1'], registry: 'External' },
  '*.example.com': { ips: ['240.240.0.2'], registry: 'External' },
  '*.deep.example.com': { ips: ['240.240.0.3'], registry: 'External' },
};

/** A resolver on UDP and TCP that knows one name, says no to all others, and counts. */
async function resolver(reply: (query: Buffer) => Buffer | undefined = refusal) {
  const [port = 0] = await freePorts(1);
  const seen: string[] = [];
  const udp = createSocket('udp4');
  udp.on('message', (query, from) => {
    seen.push('udp');
    const response = reply(query);
    if (response !== undefined) udp.send(response, from.port, from.address);
  });
  await new Promise<void>((resolve) => udp.bind(port, '127.0.0.1', resolve));
  const tcp = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (bytes) => {
      seen.push('tcp');
      const response = reply(bytes.subarray(2));
      if (response !== undefined)
        socket.write(Buffer.concat([Buffer.from([response.length >> 8, response.length & 255]), response]));
    });
  });
  await new Promise<void>((resolve) => tcp.listen(port, '127.0.0.1', resolve));
  closers.push(
    () => udp.close(),
    () => tcp.close(),
  );
  return { at: { host: '127.0.0.1', port }, seen };
}

/** NXDOMAIN, with the question repeated. */
function refusal(query: Buffer): Buffer {
  const response = Buffer.from(query);
  response[2] = 0x81;
  response[3] = 0x80 | NXDOMAIN;
  return response;
}

async function start(options: Partial<DnsOptions> & { readonly resolvers?: readonly Resolver[] } = {}) {
  const meter = recordingMeter();
  const server: DnsServer = await serveDns(
    {
      hosts: ['127.0.0.1'],
      port: 0,
      scope: { namespace: 'shop', serviceDomain: 'svc.cluster.local', searchDomain: 'shop.svc.cluster.local' },
      resolvers: [],
      parallel: false,
      ...options,
    },
    { timers: realTimers, random: Math.random, log: recordingLog().log, meter: meter.meter },
  );
  closers.push(() => server.close());
  const udp = (name: string, type = A) => askUdp(server.port, queryBytes(name, type, { edns: 1232 }));
  return { server, udp, meter };
}

const encoded = encode('istio.networking.nds.v1.NameTable', { table: TABLE });

describe('the DNS proxy', () => {
  it('answers names of the mesh in every form that a resolver asks for', async () => {
    const { server, udp } = await start();
    server.replace(encoded);
    const addresses = async (name: string, type = A) => (await udp(name, type)).answers.map(({ data }) => data).sort();
    const web = ['10.0.0.1', '10.0.0.2'];
    for (const name of ['web.shop.svc.cluster.local', 'WEB.Shop.SVC.cluster.local', 'web.shop.svc', 'web.shop', 'web'])
      expect(await addresses(name), name).toEqual(web);
    expect(await addresses('db.data')).toEqual(['10.0.0.3']);
    expect(await addresses('db.data', AAAA)).toEqual(['fd000000000000000000000000000003']);
    expect(await addresses('db-0.db.data.svc')).toEqual(['10.0.0.4']);
    expect(await addresses('api.example.com')).toEqual(['240.240.0.1']);
    expect(await addresses('other.example.com')).toEqual(['240.240.0.2']);
    expect(await addresses('a.b.deep.example.com')).toEqual(['240.240.0.3']);
    expect(await addresses('far.shop.svc.clusterset.local')).toEqual(['10.0.0.5']);
  });

  it('makes aliases of names with the search domain behind them', async () => {
    const { server, udp } = await start();
    server.replace(encoded);
    for (const name of ['api.example.com', 'x.example.com', 'web.shop.svc.cluster.local', 'web']) {
      const { answers, authoritative } = await udp(`${name}.shop.svc.cluster.local.`);
      const isOwnName = name === 'web';
      if (isOwnName) expect(answers.map(({ type }) => type)).toEqual([A, A]);
      else
        expect(answers[0]).toEqual({ name: `${name}.shop.svc.cluster.local.`, type: CNAME, ttl: 30, data: `${name}.` });
      expect(authoritative).toBe(true);
      if (!isOwnName) expect(answers[1]?.name).toBe(`${name}.`);
    }
  });

  it('says that a host is there without an address of the family, and passes on what it does not know', async () => {
    const { at, seen } = await resolver();
    const { server, udp, meter } = await start({ resolvers: [at] });
    server.replace(encoded);
    expect(await udp('web.shop', AAAA)).toMatchObject({ rcode: NOERROR, answers: [], authoritative: true });
    expect(seen).toEqual([]);
    for (const [name, type] of [
      ['web.other', A],
      ['db', A],
      ['web.shop.svc.cluster.local', TXT],
      ['nowhere.test', A],
    ] as const)
      expect(await udp(name, type), name).toMatchObject({ rcode: NXDOMAIN, id: 1 });
    expect(seen.length).toBe(4);
    expect(meter.value('istio_agent_dns_requests_total')).toBe(5);
    expect(meter.value('istio_agent_dns_upstream_requests_total')).toBe(4);
  });

  it('answers nothing before it knows anything, unless it is the only resolver', async () => {
    const { at, seen } = await resolver();
    const { server, udp } = await start({ resolvers: [at] });
    expect(await udp('web.shop')).toMatchObject({ rcode: SERVFAIL });
    expect(seen).toEqual([]);
    expect(() => server.replace(Buffer.from([0xff, 1, 2]))).toThrow();
    server.replace(encoded);
    expect(() => server.replace(Buffer.from([0xff, 1, 2]))).toThrow();
    expect((await udp('web.shop')).answers.length).toBe(2);
  });

  it('asks the next resolver when one is silent or gone, and fails when all are', async () => {
    const [nobody = 0] = await freePorts(1);
    const { at, seen } = await resolver();
    const gone = { host: '127.0.0.1', port: nobody };
    const { server, udp, meter } = await start({ resolvers: [gone, gone, gone, at] });
    server.replace(encoded);
    for (let round = 0; round < 5; round++) expect(await udp('nowhere.test')).toMatchObject({ rcode: NXDOMAIN });
    expect(seen.length).toBe(5);
    expect(meter.value('istio_agent_dns_upstream_failures_total')).toBeGreaterThan(0);
    const without = await start({ resolvers: [gone] });
    without.server.replace(encoded);
    expect(await without.udp('nowhere.test')).toMatchObject({ rcode: SERVFAIL });
  });

  it('asks all at once where it is told to', async () => {
    const silent = await resolver(() => undefined);
    const { at } = await resolver();
    const { server, udp } = await start({ resolvers: [silent.at, at], parallel: true });
    server.replace(encoded);
    const began = Date.now();
    expect(await udp('nowhere.test')).toMatchObject({ rcode: NXDOMAIN });
    expect(Date.now() - began).toBeLessThan(4000);
  });

  it('does not take an answer with another id', async () => {
    const liar = await resolver((query) => {
      const response = refusal(query);
      response[0] = (response[0] ?? 0) ^ 255;
      return response;
    });
    const honest = await resolver();
    const { server, udp } = await start({ resolvers: [liar.at, honest.at], parallel: true });
    server.replace(encoded);
    expect(await udp('nowhere.test')).toMatchObject({ rcode: NXDOMAIN, id: 1 });
  });

  it('truncates over UDP, and answers whole over TCP, several questions on one connection', async () => {
    const { at, seen } = await resolver();
    const { server } = await start({ resolvers: [at] });
    const ips = Array.from({ length: 100 }, (_, index) => `10.1.0.${index}`);
    server.replace(
      encode('istio.networking.nds.v1.NameTable', { table: { 'many.test': { ips, registry: 'External' } } }),
    );
    const short = await askUdp(server.port, queryBytes('many.test', A));
    expect(short.truncated).toBe(true);
    expect(short.answers.length).toBe(Math.floor((512 - 12 - 15) / 16));
    const larger = await askUdp(server.port, queryBytes('many.test', A, { edns: 4096 }));
    expect(larger).toMatchObject({ truncated: false, hasOpt: true });
    const responses = await askTcp(server.port, [
      queryBytes('many.test', A, { id: 10 }),
      queryBytes('nowhere.test', A, { id: 11 }),
      queryBytes('many.test', A, { id: 12 }),
    ]);
    const byId = new Map(responses.map((response) => [response.id, response]));
    expect(
      byId
        .get(10)
        ?.answers.map(({ data }) => data)
        .sort(),
    ).toEqual([...ips].sort());
    expect(byId.get(12)?.answers.length).toBe(100);
    expect(byId.get(11)?.rcode).toBe(NXDOMAIN);
    expect(seen).toEqual(['tcp']);
    const orders = new Set<string | undefined>();
    for (let round = 0; round < 8; round++) {
      const { answers } = await askUdp(server.port, queryBytes('many.test', A, { edns: 4096 }));
      orders.add(answers[0]?.data);
    }
    expect(orders.size).toBeGreaterThan(1);
  });

  it('answers what it can not read with a format error, and updates with a refusal', async () => {
    const { server } = await start();
    server.replace(encoded);
    const broken = queryBytes('a.b', A);
    broken[12] = 0xc0;
    expect(await askUdp(server.port, broken)).toMatchObject({ rcode: 1 });
    const update = queryBytes('a.b', A);
    update[2] = 5 << 3;
    expect(await askUdp(server.port, update)).toMatchObject({ rcode: 4 });
  });
});

describe('resolv.conf', () => {
  it('gives servers and the search list that counts', () => {
    const text =
      '# c\nnameserver 10.0.0.10 \nnameserver fe80::1%eth0\nnameserver x\nsearch a b\ndomain c ; d\noptions ndots:5\n';
    expect(parseResolvConf(text)).toEqual({ servers: ['10.0.0.10', 'fe80::1%eth0'], search: ['c'] });
    expect(parseResolvConf('')).toEqual({ servers: [], search: [] });
  });
});
