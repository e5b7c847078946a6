/** A question for a debug page. */
export interface DebugQuestion {
  readonly query: URLSearchParams;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** Whether the caller may see proxies of a namespace. */
  readonly maySee: (namespace: string) => boolean;
}

/** What a page answers. */
export interface DebugAnswer {
  /** As in HTTP. Default 200. */
  readonly status?: number;
  /** Becomes JSON. */
  readonly value: unknown;
}

/** A debug page; the same over HTTP and over discovery. */
export interface DebugPage {
  /** One line for people. */
  readonly help: string;
  /** It is about one proxy: callers who may not see everything may ask it about the proxies that they may see. */
  readonly isAboutProxy?: boolean;
  answer(question: DebugQuestion): DebugAnswer | Promise<DebugAnswer>;
}
