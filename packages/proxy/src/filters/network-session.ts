/** A downstream connection in the hands of its last network filter. */
export interface NetworkSession {
  /**
   * Asks the client to go: connections close after what is in progress, idle ones at once.
   *
   * @param sparesIdle Leaves an idle connection open for a while: its client may be sending a request this very moment,
   *   which a close would lose. It is answered, as the connection's last.
   */
  drain(sparesIdle: boolean): void;
  /** Closes at once. */
  close(): void;
}

/** What a session learns from its listener. */
export interface SessionOptions {
  /** Asked at each response: whether it is to be the last on its connection. */
  readonly shouldDrain: () => boolean;
  readonly onClosed: () => void;
}
