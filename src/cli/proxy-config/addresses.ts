// envoy.config.core.v3.Address as text.

import { at, isJson, numberAt, textAt } from './json.ts';

/** Address and port of a listener or an endpoint; a pipe's or internal address has port 0. */
export interface AddressText {
  readonly host: string;
  readonly port: number;
}

export function addressText(address: unknown): AddressText | undefined {
  if (isJson(at(address, 'socketAddress')))
    return { host: textAt(address, 'socketAddress', 'address'), port: numberAt(address, 'socketAddress', 'portValue') };
  const path = textAt(address, 'pipe', 'path');
  if (path !== '') return { host: path, port: 0 };
  const internal = at(address, 'envoyInternalAddress');
  const listener = textAt(internal, 'serverListenerName');
  if (listener !== '') return { host: `envoy://${listener}/${textAt(internal, 'endpointId')}`, port: 0 };
  return undefined;
}
