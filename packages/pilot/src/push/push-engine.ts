import { type Clock, err, type Log, ok } from '@meltemi/base';
import {
  buildMeshSnapshot,
  diffMeshSnapshots,
  isEmptyChange,
  type MeshInputs,
  type MeshSnapshot,
  type SnapshotChange,
} from '@meltemi/model';
import {
  createDiscoveryServer,
  type DiscoveryObserver,
  type DiscoveryQuestions,
  type DiscoveryServer,
  type DistributionResult,
  type StreamAuthenticator,
} from '@meltemi/xds/server';
import { createTranslationMemo } from '../translate/memo.ts';
import { resolveChangeScope } from './change-scope.ts';
import { createDebouncer } from './debouncer.ts';
import { PushSession } from './push-session.ts';
import { createResourceEncoder } from './resource-encoder.ts';

/** A push waits for this much quiet. Istio's `PILOT_DEBOUNCE_AFTER`. */
export const DEFAULT_DEBOUNCE_MS = 100;
/** A push waits no longer than this. Istio's `PILOT_DEBOUNCE_MAX`. */
export const DEFAULT_MAX_DEBOUNCE_MS = 10_000;

/** What a push engine is made of. */
export interface PushEngineOptions {
  /** Collects what sources know right now. Called after {@link PushEngine.notify}, once things are quiet. */
  readonly collect: () => Omit<MeshInputs, 'collectedAtMs'>;
  readonly clock: Clock;
  /** Streams log as its scope `xds`. */
  readonly log: Log;
  /** Default {@link DEFAULT_DEBOUNCE_MS}. */
  readonly debounceMs?: number;
  /** Default {@link DEFAULT_MAX_DEBOUNCE_MS}. */
  readonly maxDebounceMs?: number;
  /** Default: nobody is asked who they are. */
  readonly authenticate?: StreamAuthenticator;
  /** Default: there is nothing to ask. */
  readonly questions?: DiscoveryQuestions;
  readonly observer?: DiscoveryObserver;
  /** `control_plane.identifier` of responses. */
  readonly controlPlane?: string;
  /** Told of each new snapshot, before anything of it is sent. */
  readonly onSnapshot?: (snapshot: MeshSnapshot) => void;
}

/** What to wait for, and how long. */
export interface DistributionQuery {
  readonly deadlineMs: number;
  /** Whether a snapshot holds what is waited for; the newest one does when absent. */
  readonly includes?: ((snapshot: MeshSnapshot) => boolean) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Keeps every connected proxy at the newest snapshot. */
export interface PushEngine extends Disposable {
  /** Serves ADS; add it to a gRPC server. */
  readonly server: DiscoveryServer<PushSession>;
  /** Sources are complete: takes the first snapshot and lets proxies in. Until then they are told to come again. */
  start(): void;
  /** Something may have changed. */
  notify(): void;
  /** `undefined` before {@link start}. */
  snapshot(): MeshSnapshot | undefined;
  /** Waits until every connected proxy has accepted a snapshot. */
  waitForDistribution(query: DistributionQuery): Promise<DistributionResult>;
}

/** Keys that one line of the log names. */
const MAX_LOGGED_KEYS = 10;

function logChange(log: Log, { global, services, endpoints, configs }: SnapshotChange, next: MeshSnapshot): void {
  const some = (keys: ReadonlySet<string>): readonly string[] =>
    keys.size > MAX_LOGGED_KEYS
      ? [...[...keys].slice(0, MAX_LOGGED_KEYS), `and ${keys.size - MAX_LOGGED_KEYS} more`]
      : [...keys];
  const keys = { services: some(services), endpoints: some(endpoints), configs: some(configs) };
  log.debug('New snapshot', { version: next.version, global, ...keys });
}

/** Creates an engine; it does nothing before `start`. */
export function createPushEngine(options: PushEngineOptions): PushEngine {
  const { clock, log } = options;
  const memo = createTranslationMemo();
  const encoder = createResourceEncoder();
  const snapshotListeners = new Set<() => void>();
  let current: MeshSnapshot | undefined;

  const server = createDiscoveryServer<PushSession>({
    provider: {
      open: ({ node }) =>
        current === undefined
          ? err('the control plane is still reading its sources')
          : ok(new PushSession({ node, snapshot: current, memo, encoder })),
    },
    clock,
    log: log.scope('xds'),
    ...(options.authenticate === undefined ? {} : { authenticate: options.authenticate }),
    ...(options.questions === undefined ? {} : { questions: options.questions }),
    ...(options.observer === undefined ? {} : { observer: options.observer }),
    ...(options.controlPlane === undefined ? {} : { controlPlane: options.controlPlane }),
  });

  const take = (): void => {
    const previous = current;
    const next = buildMeshSnapshot({ ...options.collect(), collectedAtMs: clock.nowMs() }, previous);
    if (previous !== undefined) {
      const change = diffMeshSnapshots(previous, next);
      // The same content again: proxies have it already, and its number would only look like news.
      if (isEmptyChange(change)) return;
      logChange(log, change, next);
      const scope = resolveChangeScope(change, previous, next);
      current = next;
      options.onSnapshot?.(next);
      memo.sweep();
      server.push((session) => session.advance(next, scope));
    } else {
      current = next;
      options.onSnapshot?.(next);
    }
    for (const listener of snapshotListeners) listener();
  };
  const debouncer = createDebouncer({
    clock,
    quietMs: options.debounceMs ?? DEFAULT_DEBOUNCE_MS,
    maxDelayMs: options.maxDebounceMs ?? DEFAULT_MAX_DEBOUNCE_MS,
    run: take,
  });

  return {
    server,
    start() {
      if (current === undefined) take();
    },
    notify() {
      if (current !== undefined) debouncer.notify();
    },
    snapshot: () => current,
    async waitForDistribution({ deadlineMs, includes = () => true, signal }) {
      const startMs = clock.monotonicMs();
      const number = await untilSnapshot({ clock, deadlineMs, signal, listeners: snapshotListeners }, () =>
        current !== undefined && includes(current) ? current.number : undefined,
      );
      const leftMs = Math.max(0, deadlineMs - (clock.monotonicMs() - startMs));
      // No snapshot has it: everybody lags behind one that is still to come.
      return server.waitForDistribution(
        number ?? (current?.number ?? 0) + 1,
        number === undefined ? 0 : leftMs,
        signal,
      );
    },
    [Symbol.dispose]() {
      debouncer[Symbol.dispose]();
      server[Symbol.dispose]();
    },
  };
}

function untilSnapshot(
  wait: {
    readonly clock: Clock;
    readonly deadlineMs: number;
    readonly signal?: AbortSignal | undefined;
    readonly listeners: Set<() => void>;
  },
  find: () => number | undefined,
): Promise<number | undefined> {
  return new Promise((resolve) => {
    const finish = (): void => {
      timer.cancel();
      wait.listeners.delete(check);
      wait.signal?.removeEventListener('abort', finish);
      resolve(find());
    };
    const check = (): void => {
      if (find() !== undefined) finish();
    };
    const timer = wait.clock.setTimer(finish, wait.deadlineMs);
    wait.listeners.add(check);
    wait.signal?.addEventListener('abort', finish, { once: true });
    check();
  });
}
