// `control_plane.identifier` of responses: JSON that names the replica and its version, in the shape that istioctl reads.

export interface ControlPlaneId {
  readonly component: string;
  /** Name of the replica. */
  readonly id: string;
  readonly version: string;
}

/** The identifier's text. */
export function formatControlPlaneId({ component, id, version }: ControlPlaneId): string {
  return JSON.stringify({
    Component: component,
    ID: id,
    Info: { version, revision: '', golang_version: '', status: '', tag: '' },
  });
}

/** What an identifier says; undefined when it isn't of that shape. */
export function parseControlPlaneId(identifier: string): ControlPlaneId | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(identifier);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const { Component, ID, Info } = parsed as Readonly<Record<string, unknown>>;
  const { version } = (Info ?? {}) as { readonly version?: unknown };
  if (typeof ID !== 'string' || typeof version !== 'string') return undefined;
  return { component: typeof Component === 'string' ? Component : '', id: ID, version };
}
