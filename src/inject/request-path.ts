// Variables of the proxy in the path of an injection request: `/inject/cluster/c1/net/n1`, `/inject/:ENV:net=n1:ENV:k=v`.

const NAMES: Readonly<Record<string, string>> = { cluster: 'ISTIO_META_CLUSTER_ID', net: 'ISTIO_META_NETWORK' };

/** `--slash--` in a value stands for a slash. What has no value is ignored. */
export function envOfPath(path: string): Readonly<Record<string, string>> {
  const rest = path.replace(/\/$/, '').split('/').slice(2).join('/');
  const pairs = rest.startsWith(':ENV:') ? pairsOfMarks(rest) : pairsOfSegments(rest);
  return Object.fromEntries(
    pairs.filter(([key]) => key !== '').map(([key, value]) => [NAMES[key] ?? key.toUpperCase(), value]),
  );
}

function pairsOfMarks(text: string): readonly (readonly [string, string])[] {
  return text
    .split(':ENV:')
    .slice(1)
    .flatMap((pair) => {
      const at = pair.indexOf('=');
      return at <= 0 ? [] : [[pair.slice(0, at), pair.slice(at + 1)] as const];
    });
}

function pairsOfSegments(text: string): readonly (readonly [string, string])[] {
  const segments = text === '' ? [] : text.split('/');
  return Array.from({ length: Math.floor(segments.length / 2) }, (_, pair) => [
    segments[pair * 2] ?? '',
    (segments[pair * 2 + 1] ?? '').replaceAll('--slash--', '/'),
  ]);
}
