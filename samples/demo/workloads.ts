// The workloads of the demo: the pods of samples/bookinfo, with what runs behind each sidecar.

export interface DemoWorkload {
  readonly app: string;
  readonly version: string;
  readonly account: string;
  readonly role: 'sidecar' | 'router';
  /** Last byte of its addresses: 127.0.10.N is its pod, 127.0.20.N its way out, 127.0.0.1:210NN its application. */
  readonly n: number;
}

const sidecar = (app: string, version: string, n: number): DemoWorkload => ({
  app,
  version,
  account: app,
  role: 'sidecar',
  n,
});

export const WORKLOADS: readonly DemoWorkload[] = [
  sidecar('productpage', 'v1', 11),
  sidecar('details', 'v1', 12),
  sidecar('reviews', 'v1', 13),
  sidecar('reviews', 'v2', 14),
  sidecar('reviews', 'v3', 15),
  sidecar('ratings', 'v1', 16),
  sidecar('ledger', 'v1', 17),
  sidecar('quotes', 'v1', 18),
  { app: 'gateway', version: 'v1', account: 'gateway', role: 'router', n: 19 },
];

export const NAMESPACE = 'bookinfo';

export function workloadName({ app, version }: DemoWorkload): string {
  return `${app}-${version}`;
}

export function podAddress({ n }: DemoWorkload): string {
  return `127.0.10.${n}`;
}

export function egressAddress({ n }: DemoWorkload): string {
  return `127.0.20.${n}`;
}

export function appPort({ n }: DemoWorkload): number {
  return 21_000 + n;
}
