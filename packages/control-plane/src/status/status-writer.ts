import type { IstioStatus, KubernetesObject } from '@meltemi/api';
import { type Clock, type Log, messageOf, sleep } from '@meltemi/base';
import { type ConfigStore, findUnresolvedReferences } from '@meltemi/galley';
import { type Informer, isConflict, isNotFound, type KubeClient, type KubeObject } from '@meltemi/kube';
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
const FAILURE_PAUSE_MS = 30_000;

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
}

class StatusWriter {
  readonly #options: StatusWriterOptions;
  #known: ReadonlyMap<string, Known> = new Map();
  /** After a failure nothing is tried before this time: what keeps one write from succeeding mostly keeps all. */
  #pausedUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  async round(signal: AbortSignal): Promise<void> {
    const reports = this.#options.reports();
    const known = new Map<string, Known>();
    let left = this.#options.clock.monotonicMs() < this.#pausedUntilMs ? 0 : MAX_WRITES;
    for (const { ref, store } of this.#options.informers) {
      for (const object of store.list()) {
        const { namespace = 'default', name } = object.metadata;
        if (!this.#options.discovers(namespace)) continue;
        const key = configKey({ kind: ref.kind, namespace, name });
        const entry = this.#note(key, object);
        known.set(key, entry);
        // What the informer serves under the kind's path has the envelope of the API.
        const next = left > 0 ? this.#wanted(object as unknown as KubernetesObject, reports, entry) : undefined;
        if (next === undefined) continue;
        const isWritten = await this.#write(ref, object, next, signal);
        if (signal.aborted) return;
        left = isWritten ? left - 1 : 0;
        entry.writtenMs = this.#options.clock.monotonicMs();
      }
    }
    this.#known = known;
  }

  #note(key: string, { metadata }: KubeObject): Known {
    const generation = metadata.generation ?? 0;
    const entry = this.#known.get(key);
    if (entry?.generation === generation) return entry;
    return { generation, sinceMs: this.#options.clock.monotonicMs(), writtenMs: Number.NEGATIVE_INFINITY };
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

  /** @returns Whether more may be written in this round. */
  async #write(
    ref: Informer<KubeObject>['ref'],
    { metadata }: KubeObject,
    status: IstioStatus,
    signal: AbortSignal,
  ): Promise<boolean> {
    const key = { name: metadata.name, ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }) };
    const body = { metadata: { resourceVersion: metadata.resourceVersion }, status };
    try {
      await this.#options.client.patch(ref, key, { type: 'merge', body }, { subresource: 'status', signal });
      return true;
    } catch (error) {
      // Changed or gone since it was read: the next round sees it.
      if (signal.aborted || isConflict(error) || isNotFound(error)) return true;
      this.#options.log.warn('Cannot write a status; will try again', {
        object: `${ref.kind}/${metadata.namespace}/${metadata.name}`,
        error: messageOf(error),
        retryMs: FAILURE_PAUSE_MS,
      });
      this.#pausedUntilMs = this.#options.clock.monotonicMs() + FAILURE_PAUSE_MS;
      return false;
    }
  }
}
