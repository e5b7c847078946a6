import type { IstioStatus, KubernetesObject } from '@meltemi/api';
import { type Clock, type Log, messageOf, sleep } from '@meltemi/base';
import { type ConfigStore, findUnresolvedReferences } from '@meltemi/galley';
import { type Informer, isConflict, isNotFound, type KubeClient, KubeError, type KubeObject } from '@meltemi/kube';
import { configKey } from '@meltemi/model';
import type { DistributionReport } from './distribution-ledger.ts';
import {
  buildStatus,
  describeRefusal,
  differsInSubstance,
  findReconciled,
  type StatusFacts,
} from './resource-status.ts';

/** How often all objects are looked at. */
const TICK_MS = 1_000;
/** Writes of one tick; the rest waits for the next. */
const MAX_WRITES = 20;
/** A change is given this long to reach proxies before it is said that it has not. */
const SETTLE_MS = 2_000;
/** A status that says the same but for its count is written again after this long. */
const RECOUNT_MS = 10_000;
/** An object whose status could not be written is left alone for this long, each time for longer. */
const FAILURE_PAUSE_MS = 30_000;
const MAX_FAILURE_PAUSE_MS = 300_000;

/** What the writer goes by. */
export interface StatusWriterOptions {
  readonly client: Pick<KubeClient, 'patch'>;
  /** Of the kinds whose status is written. */
  readonly informers: readonly Pick<Informer<KubeObject>, 'ref' | 'store'>[];
  readonly store: Pick<ConfigStore, 'stateOf' | 'ofKind'>;
  /** Of every replica that lives. */
  readonly reports: () => readonly DistributionReport[];
  /** Whether a namespace is part of the mesh: of what is in others no proxy hears, and another mesh may write there. */
  readonly discovers: (namespace: string) => boolean;
  readonly domainSuffix: string;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Keeps the status of configuration objects, until the signal aborts: whether proxies have them, and what is wrong with
 * them. Only one replica may do this at a time.
 *
 * It never writes more than {@link MAX_WRITES} a second, and a proxy that comes or goes is not news for every object.
 */
export async function keepStatuses(options: StatusWriterOptions, signal: AbortSignal): Promise<void> {
  const writer = new StatusWriter(options);
  while (!signal.aborted) {
    await sleep(options.clock, TICK_MS, signal);
    if (!signal.aborted) await writer.round(signal);
  }
}

/** What is known of one object's present version. */
interface Known {
  readonly generation: number;
  readonly sinceMs: number;
  /** When its status was last written. */
  writtenMs: number;
  /** After a failure it is not tried before this time; others are, since one may be refused for good. */
  pausedUntilMs: number;
  failureCount: number;
}

type Ref = Informer<KubeObject>['ref'];

/** An object whose status may have to be written. */
interface Candidate {
  readonly key: string;
  readonly ref: Ref;
  readonly object: KubeObject;
}

class StatusWriter {
  readonly #options: StatusWriterOptions;
  #known: ReadonlyMap<string, Known> = new Map();
  /** The object that the last round ended at: the next one begins behind it, so that none is left out for ever. */
  #lastKey: string | undefined;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  async round(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const reports = this.#options.reports();
    const candidates = this.#candidates();
    this.#known = new Map(candidates.map(({ key, object }) => [key, this.#note(key, object)]));
    const start = candidates.findIndex(({ key }) => key === this.#lastKey) + 1;
    let left = MAX_WRITES;
    for (const { key, ref, object } of [...candidates.slice(start), ...candidates.slice(0, start)]) {
      const entry = this.#known.get(key);
      if (entry === undefined || clock.monotonicMs() < entry.pausedUntilMs) continue;
      // What the informer serves under the kind's path has the envelope of the API.
      const next = this.#wanted(object as unknown as KubernetesObject, reports, entry);
      if (next === undefined) continue;
      const failure = await this.#write(ref, object, next, signal);
      if (signal.aborted) return;
      entry.writtenMs = clock.monotonicMs();
      this.#lastKey = key;
      left -= 1;
      if (failure === undefined) entry.failureCount = 0;
      else this.#putOff(key, entry, failure);
      // What could not be reached for one object is not reached for the others either.
      if (left === 0 || (failure instanceof KubeError && failure.statusCode === 0)) return;
    }
  }

  #putOff(object: string, entry: Known, failure: unknown): void {
    const { clock, log } = this.#options;
    const retryMs = Math.min(MAX_FAILURE_PAUSE_MS, FAILURE_PAUSE_MS * 2 ** entry.failureCount);
    entry.failureCount += 1;
    entry.pausedUntilMs = clock.monotonicMs() + retryMs;
    log.warn('Cannot write a status; will try again', { object, error: messageOf(failure), retryMs });
  }

  #candidates(): readonly Candidate[] {
    return this.#options.informers.flatMap(({ ref, store }) =>
      store.list().flatMap((object) => {
        const { namespace = 'default', name } = object.metadata;
        if (!this.#options.discovers(namespace)) return [];
        return [{ key: configKey({ kind: ref.kind, namespace, name }), ref, object }];
      }),
    );
  }

  #note(key: string, { metadata }: KubeObject): Known {
    const generation = metadata.generation ?? 0;
    const entry = this.#known.get(key);
    if (entry?.generation === generation) return entry;
    const never = Number.NEGATIVE_INFINITY;
    return {
      generation,
      sinceMs: this.#options.clock.monotonicMs(),
      writtenMs: never,
      pausedUntilMs: never,
      failureCount: 0,
    };
  }

  /** @returns The status to write; `undefined` when the present one is good enough for now. */
  #wanted(
    object: KubernetesObject,
    reports: readonly DistributionReport[],
    { sinceMs, writtenMs }: Known,
  ): IstioStatus | undefined {
    const facts = this.#facts(object, reports);
    if (facts === undefined) return undefined;
    const { clock } = this.#options;
    const now = `${new Date(clock.nowMs()).toISOString().slice(0, 19)}Z`;
    const next = buildStatus(object.status, facts, now);
    const condition = findReconciled(next);
    if (differsInSubstance(object.status, next)) {
      const isOnItsWay = condition?.status === 'False' && facts.refusal === undefined;
      return isOnItsWay && clock.monotonicMs() - sinceMs < SETTLE_MS ? undefined : next;
    }
    const isRecount = condition?.message !== findReconciled(object.status)?.message;
    return isRecount && clock.monotonicMs() - writtenMs >= RECOUNT_MS ? next : undefined;
  }

  /** @returns `undefined` while the store has not seen this version. */
  #facts(object: KubernetesObject, reports: readonly DistributionReport[]): StatusFacts | undefined {
    const { store, domainSuffix, discovers } = this.#options;
    const { namespace = 'default', name, generation = 0, resourceVersion } = object.metadata;
    const key = { kind: object.kind, namespace, name };
    const state = store.stateOf(key);
    const proxyCount = reports.reduce((sum, report) => sum + report.proxyCount, 0);
    if (state.state === 'rejected') {
      const { isPending, findings } = state.rejection;
      if (state.rejection.resourceVersion !== resourceVersion) return undefined;
      return { generation, ackedCount: 0, proxyCount, refusal: describeRefusal(isPending, findings), findings };
    }
    if (state.state === 'absent' || state.resourceVersion !== resourceVersion) return undefined;
    // A version that changes nothing keeps the generation of the one that did.
    const counted = reports.map(({ configs }) => {
      const found = configs.get(configKey(key));
      return found !== undefined && found.generation >= state.resource.generation ? found.ackedCount : 0;
    });
    const rules = store.ofKind('DestinationRule').filter((rule) => discovers(rule.namespace));
    return {
      generation,
      proxyCount,
      ackedCount: counted.reduce((sum, count) => sum + count, 0),
      findings: findUnresolvedReferences(object, rules, domainSuffix),
    };
  }

  /** @returns Why it could not be written; `undefined` when it is, or when the next round sees more. */
  async #write(ref: Ref, { metadata }: KubeObject, status: IstioStatus, signal: AbortSignal): Promise<unknown> {
    const key = { name: metadata.name, ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }) };
    const body = { metadata: { resourceVersion: metadata.resourceVersion }, status };
    try {
      await this.#options.client.patch(ref, key, { type: 'merge', body }, { subresource: 'status', signal });
      return undefined;
    } catch (error) {
      // Changed or gone since it was read.
      return isConflict(error) || isNotFound(error) ? undefined : error;
    }
  }
}
