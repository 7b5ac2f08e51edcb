// Most proxies never see a Wasm extension: what fetches modules is loaded with the first response that may hold one.
// In: options and ports; out: an ExtensionRewriter. Called by agent.ts.

import type { CachePorts } from './cache.ts';
import type { WasmOptions } from './options.ts';
import type { Rewriter } from './rewrite.ts';

export function lazyRewriter(options: WasmOptions, ports: CachePorts): Rewriter {
  let loaded: Promise<Rewriter> | undefined;
  let closed = false;
  const load = async (): Promise<Rewriter> => {
    const [{ moduleCache }, { wasmRewriter }] = await Promise.all([import('./cache.ts'), import('./rewrite.ts')]);
    const cache = moduleCache(options, ports);
    const rewriter = wasmRewriter(cache, ports);
    return {
      rewrite: (form, response, again) => rewriter.rewrite(form, response, again),
      close: () => {
        rewriter.close();
        cache.close();
      },
    };
  };
  return {
    rewrite: async (form, response, again) => {
      loaded ??= load();
      const rewriter = await loaded;
      if (closed) rewriter.close();
      return rewriter.rewrite(form, response, again);
    },
    close: () => {
      closed = true;
      void loaded?.then((rewriter) => rewriter.close());
    },
  };
}
