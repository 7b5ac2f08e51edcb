// Whether a pod's proxy can be a native sidecar: an init container that keeps running, which ends after the application.

/** As the environment says it: `auto` looks at the kubelets. */
export type NativeSidecars = 'auto' | 'true' | 'false';

export interface KubeNode {
  readonly name: string;
  /** `v1.34.1`; undefined where it is not known. */
  readonly kubeletVersion: string | undefined;
}

/** Native sidecars are stable since then. */
const MIN_MINOR = 33;

/** The node of the pod decides when it is known; else every node must be able. */
export function nativeSidecars(
  setting: NativeSidecars,
  nodes: readonly KubeNode[],
  nodeName: string | undefined,
): boolean {
  if (setting !== 'auto') return setting === 'true';
  const own = nodes.find(({ name }) => name === nodeName);
  return own === undefined ? nodes.length > 0 && nodes.every(isNewEnough) : isNewEnough(own);
}

function isNewEnough({ kubeletVersion }: KubeNode): boolean {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(kubeletVersion ?? '') ?? [];
  return Number(major) > 1 || (Number(major) === 1 && Number(minor) >= MIN_MINOR);
}
