// resolv.conf as far as a DNS proxy needs it. In: its text; out: servers to ask and search domains. Pure.

import { isIp } from '../../lib/ip.ts';

export interface ResolvConf {
  readonly servers: readonly string[];
  readonly search: readonly string[];
}

export function parseResolvConf(text: string): ResolvConf {
  const servers: string[] = [];
  let search: readonly string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, ...values] = (line.split(/[#;]/)[0] ?? '').trim().split(/\s+/);
    if (keyword === 'nameserver')
      servers.push(...values.slice(0, 1).filter((value) => isIp(value.split('%')[0] ?? '')));
    // The last one counts, whichever of the two it is.
    if (keyword === 'search') search = values;
    if (keyword === 'domain') search = values.slice(0, 1);
  }
  return { servers, search };
}
