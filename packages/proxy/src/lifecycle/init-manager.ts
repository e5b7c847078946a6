import type { Clock, ClockTimer, Log } from '@meltemi/base';

/** Envoy's server states. */
export type ServerState = 'PRE_INITIALIZING' | 'INITIALIZING' | 'LIVE' | 'DRAINING';

/** Settings of {@link createInitManager}. Absent timeouts: the type is not discovered at all. */
export interface InitManagerOptions {
  readonly cdsTimeoutMs: number | undefined;
  readonly ldsTimeoutMs: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly warmingClusters: () => readonly string[];
  readonly warmingListeners: () => readonly string[];
  /** Clusters are there and warm: time to ask for listeners. */
  readonly onClustersReady: () => void;
  /** A first fetch ended without an answer. */
  readonly onFetchTimeout: (type: 'cds' | 'lds') => void;
}

/**
 * Decides when the proxy is ready: clusters with their endpoints and secrets, then listeners with their routes and
 * secrets, all in effect in every worker. Each wait for a first answer honours `initial_fetch_timeout`.
 */
export interface InitManager {
  state(): ServerState;
  /** Workers run and hold the static configuration. */
  begin(): void;
  /** A first answer of the type was judged. */
  onAnswer(type: 'cds' | 'lds'): void;
  /** Something was published to the workers, or ceased to warm. */
  onProgress(): void;
  setDraining(isDraining: boolean): void;
  /** Resolves when the proxy is LIVE for the first time. */
  live(): Promise<void>;
  close(): void;
}

/** Creates the manager in state `PRE_INITIALIZING`. */
export function createInitManager(options: InitManagerOptions): InitManager {
  const { clock, log } = options;
  const answered = { cds: options.cdsTimeoutMs === undefined, lds: options.ldsTimeoutMs === undefined };
  const timers = new Map<'cds' | 'lds', ClockTimer>();
  const live = Promise.withResolvers<void>();
  let phase: 'workers' | 'clusters' | 'listeners' | 'live' = 'workers';
  let isDraining = false;

  const awaitAnswer = (type: 'cds' | 'lds', timeoutMs: number | undefined): void => {
    if (answered[type] || timeoutMs === undefined || timeoutMs === 0) return;
    const timer = clock.setTimer(() => {
      answered[type] = true;
      log.warn('no answer of the control plane in time', { type, timeoutMs });
      options.onFetchTimeout(type);
      advance();
    }, timeoutMs);
    timers.set(type, timer);
  };

  const advance = (): void => {
    if (phase === 'clusters' && answered.cds && options.warmingClusters().length === 0) {
      phase = 'listeners';
      options.onClustersReady();
      awaitAnswer('lds', options.ldsTimeoutMs);
    }
    if (phase === 'listeners' && answered.lds && options.warmingListeners().length === 0) {
      phase = 'live';
      log.info('all dependencies initialized, serving');
      live.resolve();
    }
  };

  return {
    state: () => {
      if (isDraining) return 'DRAINING';
      if (phase === 'live') return 'LIVE';
      return phase === 'listeners' ? 'INITIALIZING' : 'PRE_INITIALIZING';
    },
    begin() {
      phase = 'clusters';
      awaitAnswer('cds', options.cdsTimeoutMs);
      advance();
    },
    onAnswer(type) {
      answered[type] = true;
      timers.get(type)?.cancel();
      advance();
    },
    onProgress: advance,
    setDraining: (draining) => {
      isDraining = draining;
    },
    live: () => live.promise,
    close() {
      for (const timer of timers.values()) timer.cancel();
    },
  };
}
