import { type Clock, err, ok, parseDurationMs, type Result } from '@meltemi/base';
import type { ConfigStore } from '@meltemi/galley';
import { type ConfigKey, configKey, type MeshSnapshot } from '@meltemi/model';
import type { PushEngine } from '@meltemi/pilot';

const DEFAULT_TIMEOUT_MS = 10_000;
const MAX_TIMEOUT_MS = 600_000;
/** How long an object may wait for what it refers to: objects of one command arrive one after the other. */
const PENDING_GRACE_MS = 2_000;

/** A change whose arrival is asked about. */
export interface DistributionQuestion {
  readonly timeoutMs: number;
  /** Absent: the newest snapshot, whatever it holds. */
  readonly change?: {
    readonly key: ConfigKey;
    /** Absent: any version. */
    readonly resourceVersion?: string;
    readonly isDeleted: boolean;
  };
}

/** Whether every connected proxy has a change. */
export interface DistributionAnswer {
  readonly ok: boolean;
  /** Proxies that have not acknowledged it, `<pod>.<namespace>`. */
  readonly lagging: readonly string[];
  /** Version of the newest snapshot, as proxies see it in `version_info`. */
  readonly version: string;
  readonly proxyCount: number;
  readonly error?: string;
}

/** Reads `?timeout=10s&resource=<kind>/<ns>/<name>&resourceVersion=<rv>&deleted=true`. */
export function parseDistributionQuery(query: URLSearchParams): Result<DistributionQuestion> {
  const timeout = query.get('timeout');
  const timeoutMs = timeout === null ? ok(DEFAULT_TIMEOUT_MS) : parseDurationMs(timeout);
  if (!timeoutMs.ok) return err(`timeout: ${timeoutMs.error}`);
  const limited = Math.min(Math.max(0, timeoutMs.value), MAX_TIMEOUT_MS);
  const resource = query.get('resource');
  if (resource === null) return ok({ timeoutMs: limited });
  const parts = resource.split('/');
  const [kind = '', namespace = '', name = ''] = parts;
  if (parts.length !== 3 || kind === '' || name === '') {
    return err(`resource: "${resource}" must be <kind>/<namespace>/<name>`);
  }
  const resourceVersion = query.get('resourceVersion');
  return ok({
    timeoutMs: limited,
    change: {
      key: { kind, namespace: namespace === '' ? 'default' : namespace, name },
      ...(resourceVersion === null ? {} : { resourceVersion }),
      isDeleted: query.get('deleted') === 'true',
    },
  });
}

/** Waits until every connected proxy has acknowledged a snapshot that holds the change, or the time is up. */
export async function waitForChange(
  question: DistributionQuestion,
  parts: {
    readonly engine: Pick<PushEngine, 'waitForDistribution' | 'snapshot'>;
    readonly store: Pick<ConfigStore, 'stateOf' | 'onReject'>;
    readonly clock: Clock;
    readonly signal: AbortSignal;
  },
): Promise<DistributionAnswer> {
  const { engine, store, clock, signal } = parts;
  const { change, timeoutMs } = question;
  const rejection = (): string | undefined => (change === undefined ? undefined : findRejection(change, store));
  const includes = (snapshot: MeshSnapshot): boolean => change === undefined || isIncluded(change, snapshot, store);
  const refuse = (error: string): DistributionAnswer => {
    const version = engine.snapshot()?.version ?? '';
    return { ok: false, lagging: [], version, proxyCount: 0, error };
  };
  const known = rejection();
  if (known !== undefined && !isPending(change, store)) return refuse(known);

  const rejected = new AbortController();
  const giveUp = (): void => {
    if (rejection() !== undefined && !isPending(change, store)) rejected.abort();
  };
  const stop = store.onReject(giveUp);
  const grace = clock.setTimer(() => {
    if (rejection() !== undefined) rejected.abort();
  }, PENDING_GRACE_MS);
  const { complete, laggards, proxyCount } = await engine.waitForDistribution({
    deadlineMs: timeoutMs,
    signal: AbortSignal.any([signal, rejected.signal]),
    includes,
  });
  grace.cancel();
  stop();
  const snapshot = engine.snapshot();
  const refusal = rejection();
  if (refusal !== undefined) return refuse(refusal);
  if (snapshot === undefined || !includes(snapshot)) return refuse('the control plane has not taken the change in');
  const lagging = [...new Set(laggards.map(({ proxyId }) => proxyId))].toSorted();
  return { ok: complete, lagging, version: snapshot.version, proxyCount };
}

type Change = NonNullable<DistributionQuestion['change']>;

/** Why this version of the object will never be distributed. */
function findRejection(change: Change, store: Pick<ConfigStore, 'stateOf'>): string | undefined {
  const state = store.stateOf(change.key);
  if (change.isDeleted || state.state !== 'rejected') return undefined;
  if (!isAtLeast(state.rejection.resourceVersion, change.resourceVersion)) return undefined;
  const problems = state.rejection.findings.map(({ path, message }) => `${path}: ${message}`);
  return `the control plane does not take it: ${problems.join('; ')}`;
}

function isPending(change: Change | undefined, store: Pick<ConfigStore, 'stateOf'>): boolean {
  const state = change === undefined ? undefined : store.stateOf(change.key);
  return state?.state === 'rejected' && state.rejection.isPending;
}

function isIncluded(change: Change, snapshot: MeshSnapshot, store: Pick<ConfigStore, 'stateOf'>): boolean {
  const { key, resourceVersion, isDeleted } = change;
  const state = store.stateOf(key);
  const held = snapshot.configsByKind.get(key.kind)?.find((resource) => configKey(resource) === configKey(key));
  if (isDeleted) {
    // Made anew after the deletion: the deletion itself is long through.
    const isRemade =
      state.state === 'accepted' && resourceVersion !== undefined && state.resourceVersion !== resourceVersion;
    return held === undefined || (isRemade && isNewer(state.resourceVersion, resourceVersion));
  }
  if (state.state !== 'accepted' || !isAtLeast(state.resourceVersion, resourceVersion)) return false;
  return held?.resourceVersion === state.resource.resourceVersion;
}

/** API servers count their versions up, though clients are told not to rely on it; equality is the fallback. */
function isAtLeast(version: string, wanted: string | undefined): boolean {
  return wanted === undefined || version === wanted || isNewer(version, wanted);
}

function isNewer(version: string, than: string): boolean {
  return /^\d+$/.test(version) && /^\d+$/.test(than) && BigInt(version) > BigInt(than);
}
