import { describe, expect, it } from 'vitest';
import type { ObjectEvent } from '../../src/config/object.ts';
import { KINDS } from '../../src/config/kinds.ts';
import { Reflector } from '../../src/sources/kube-reflector.ts';
import { quietLog, realTimers } from './harness.ts';

const SERVED = { path: '/apis/networking.istio.io/v1/virtualservices', apiVersion: 'networking.istio.io/v1' };

/** A reflector that is told of objects by hand; `emitted` are the batches that came of it. */
function reflectorOf(kind: 'VirtualService' | 'ServiceEntry') {
  const emitted: (readonly ObjectEvent[])[] = [];
  const nothing = { inc: () => undefined, set: () => undefined };
  const unused = {
    get: () => Promise.reject(new Error('not asked')),
    follow: () => Promise.reject(new Error('nor this')),
  };
  const info = KINDS.find((each) => each.kind === kind);
  if (info === undefined) throw new Error(kind);
  const reflector = new Reflector({
    api: { ...unused, send: unused.get },
    discovery: { resources: unused.get } as never,
    info,
    clusterId: 'c',
    log: quietLog,
    timers: realTimers,
    random: () => 0,
    ...{ events: nothing, lists: nothing, unowned: nothing },
    emit: (batch) => emitted.push(batch),
    onListed: () => undefined,
  });
  const list = (...items: object[]): void => {
    reflector.begin();
    reflector.page(items as never, SERVED, false);
    reflector.end();
  };
  const event = (type: 'ADDED' | 'MODIFIED' | 'DELETED', object: object, served = SERVED): readonly ObjectEvent[] => {
    const before = emitted.length;
    reflector.events([{ type, object: object as never, checked: false }], served);
    return emitted.slice(before).flat();
  };
  return { list, event };
}

const routes = (metadata: object = {}, more: object = {}) => ({
  metadata: { name: 'v', namespace: 'n', uid: 'u', generation: 3, ...metadata },
  spec: { hosts: ['a.n'], http: [{ route: [{ destination: { host: 'a' } }] }] },
  ...more,
});
const status = (text: string) => ({ status: { conditions: [{ type: 'Ready', reason: text }] } });

describe('versions of an object that bring nothing but a status', () => {
  it('are not even parsed', () => {
    const { list, event } = reflectorOf('VirtualService');
    list(routes());
    expect(event('MODIFIED', routes({ resourceVersion: '5' }, status('a')))).toEqual([]);
    expect(event('MODIFIED', routes({ resourceVersion: '6', managedFields: [{}] }, status('b')))).toEqual([]);
    // Were it looked at, an unusable specification would be seen.
    expect(event('MODIFIED', { ...routes(), spec: 'unusable' })).toEqual([]);
  });

  it.each([
    ['another generation', { generation: 4 }],
    ['another label', { labels: { a: 'b' } }],
    ['another annotation', { annotations: { a: 'b' } }],
    ['another object of the same name', { uid: 'w' }],
  ])('are none with %s', (_what, metadata) => {
    const { list, event } = reflectorOf('VirtualService');
    list(routes());
    expect(event('MODIFIED', routes(metadata))).toMatchObject([{ kind: 'upsert', object: { name: 'v' } }]);
    expect(event('MODIFIED', routes({ ...metadata, resourceVersion: '9' }))).toEqual([]);
    expect(event('MODIFIED', routes())).toMatchObject([{ kind: 'upsert' }]);
  });

  it('are none where the server counts no generations, or serves another version of the kind', () => {
    const { list, event } = reflectorOf('VirtualService');
    list(routes({ generation: undefined }));
    expect(event('MODIFIED', routes({ generation: undefined }))).toMatchObject([{ kind: 'upsert' }]);
    list(routes());
    const served = { ...SERVED, apiVersion: 'networking.istio.io/v1beta1' };
    expect(event('MODIFIED', routes(), served)).toMatchObject([{ kind: 'upsert' }]);
  });

  it('are none of a kind whose status is read', () => {
    const { list, event } = reflectorOf('ServiceEntry');
    const entry = (address: string) => ({
      ...routes(),
      spec: { hosts: ['a.example'], ports: [{ number: 80, name: 'http', protocol: 'HTTP' }], resolution: 'DNS' },
      status: { addresses: [{ value: address }] },
    });
    list(entry('240.240.0.1'));
    expect(event('MODIFIED', entry('240.240.0.2'))).toMatchObject([{ kind: 'upsert' }]);
  });

  it('are none after the object went, or came again in a list', () => {
    const { list, event } = reflectorOf('VirtualService');
    list(routes());
    expect(event('DELETED', routes())).toMatchObject([{ kind: 'delete' }]);
    expect(event('MODIFIED', routes())).toMatchObject([{ kind: 'upsert' }]);
    list();
    expect(event('MODIFIED', routes())).toMatchObject([{ kind: 'upsert' }]);
    list(routes({ generation: 9 }));
    expect(event('MODIFIED', routes())).toMatchObject([{ kind: 'upsert' }]);
    expect(event('ADDED', routes())).toMatchObject([{ kind: 'upsert' }]);
  });

  it('leave what was wrong with the object as it was', () => {
    const { list, event } = reflectorOf('VirtualService');
    const unusable = { ...routes(), spec: { hosts: 7 } };
    list(routes({ generation: 2 }));
    expect(event('MODIFIED', unusable)).toMatchObject([{ kind: 'invalid' }]);
    expect(event('MODIFIED', { ...unusable, ...status('Invalid') })).toEqual([]);
  });
});
