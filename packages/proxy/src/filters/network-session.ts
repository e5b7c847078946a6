/** A downstream connection in the hands of its last network filter. */
export interface NetworkSession {
  /** Asks the client to go: an idle connection closes, others after what is in progress. */
  drain(): void;
  /** Closes at once. */
  close(): void;
}

/** What a session learns from its listener. */
export interface SessionOptions {
  /** Asked at each response: whether it is to be the last on its connection. */
  readonly shouldDrain: () => boolean;
  readonly onClosed: () => void;
}
