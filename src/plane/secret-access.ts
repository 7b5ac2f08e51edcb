// Who may read the Secrets of a namespace, as the plane asks for it. Implemented by the controllers over an API server's
// access reviews; a folder of files has no such rules.

export interface SecretAccess {
  /**
   * The answer that is known; false while there is none. `changed` is called once it becomes another one, never from
   * within this call, until `leave`.
   */
  mayRead(namespace: string, serviceAccount: string, changed: () => void): boolean;
  /** Who asked with this function doesn't depend on the answers any more. */
  leave(changed: () => void): void;
}

/** Whoever has proven to be of a namespace may read its Secrets. */
export const OPEN_ACCESS: SecretAccess = { mayRead: () => true, leave: () => undefined };
