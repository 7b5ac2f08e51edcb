// What `npm run bench -- --help` says.

import { aligned } from './output/table.ts';
import { SUITES } from './suites.ts';

export function helpText(): string {
  const suites = aligned(SUITES.map(({ name, about, usual }) => [`  ${name}${usual ? '' : ' *'}`, about]));
  return `npm run bench [-- SUITE ... FLAGS]

Measures Meltemi on this machine and prints a table. Needs what \`npm ci\` built, and nothing else.

Suites (* only when named):
${suites}

Sizes
  --quick               every usual suite in less than a minute: to see that it runs, not to judge by
  --full                growth up to 10,000 services, 5,000 proxies, 1,000 endpoints: long
  --services N          1000, quick 50          --proxies N     200, quick 10
  --endpoints N         of each service, 5      --namespaces N  10, quick 2
  --flavour entries     ServiceEntries; or kubernetes: Services, EndpointSlices and Pods
  --rounds N            of each change, 5, quick 1
  --mode both           delta, sotw or both; quick: delta
  --rate N --seconds N  of churn: 10 a second for 8 s, quick 2 s
  --minutes N           of the soak, 30
  --tls                 proxies connect over TLS with certificates of their own, as agents do
  --shape NAME          one shape of the suite shapes; may be repeated
  --istiod FILE         what istiod's own benchmarks printed on this machine, for shapes to be held beside

Output
  --only A,B            the same as naming suites
  --json FILE           the figures, also as JSON
  --svg DIR             the figures, also as charts
  --from FILE --svg DIR charts of a stored report; nothing is run
  --compare A B         two stored reports side by side; nothing is run
  --threshold 1.15      from which ratio on a difference is marked

The server and the fake proxies are processes of their own: CPU and memory are the server's alone, read from /proc. Without
/proc those figures are left out. Figures of a busy machine compare with nothing: look at ratios, counts and bytes.`;
}
