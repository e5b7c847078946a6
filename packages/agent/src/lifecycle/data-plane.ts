/** Why a data plane ended by itself. */
export interface DataPlaneExit {
  /** The code that the agent should end with. */
  readonly code: number;
  readonly reason: string;
}

/** The proxy that an agent runs: ours in this process, or Envoy as a child. */
export interface DataPlane extends AsyncDisposable {
  /** Starts it; resolves when its admin port answers or is about to. */
  start(): Promise<void>;
  /** Resolves when it ended without having been disposed. */
  readonly ended: Promise<DataPlaneExit>;
}

/** What either kind is started with. */
export interface DataPlaneOptions {
  readonly bootstrapPath: string;
  /** Reads YAML that is laid over the bootstrap; `undefined` without any. */
  readonly overlayText: () => Promise<string | undefined>;
  /** Worker threads; `undefined` leaves the choice to the proxy. */
  readonly concurrency: number | undefined;
  readonly drainDurationMs: number;
  /** Envoy's names, such as `warning`. */
  readonly logLevel: string;
  /** `misc:error`, or empty. */
  readonly componentLogLevel: string;
}
