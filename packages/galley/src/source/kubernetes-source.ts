import { KINDS, type KindDefinition, type KubernetesObject } from '@meltemi/api';
import { type Clock, type Log, type Random, sleep, systemClock } from '@meltemi/base';
import { createInformer, type Informer, type KubeClient, type KubeObject, resourceRef } from '@meltemi/kube';
import type { ConfigStore } from '../config-store.ts';

/** What a source reads, and where it puts it. */
export interface KubernetesSourceOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server' | 'request'>;
  readonly store: ConfigStore;
  readonly log: Log;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Default: every kind of the API. */
  readonly kinds?: readonly KindDefinition[];
  /**
   * The revision of the control plane: objects labelled for another are left out. Default: all objects are read.
   */
  readonly revision?: string;
}

const REVISION_LABEL = 'istio.io/rev';

/** Feeds a store from the custom resources of one cluster, for as long as its signal is not aborted. */
export interface KubernetesSource {
  /**
   * Begins to follow the kinds. Resolves when each kind that the cluster defines has been read once; a kind whose
   * definition is not installed is followed too, from the moment that it is.
   */
  start(signal: AbortSignal): Promise<void>;
  readonly informers: readonly Informer<KubeObject>[];
}

/** Creates the source; no I/O happens before `start`. */
export function createKubernetesSource(options: KubernetesSourceOptions): KubernetesSource {
  const { client, store, log, kinds = KINDS, clock, random, revision } = options;
  const followed = kinds.map((definition) => {
    const ref = resourceRef<KubeObject>({
      group: definition.group,
      version: definition.storageVersion,
      plural: definition.plural,
      kind: definition.kind,
    });
    const informer = createInformer({
      client,
      ref,
      log,
      ...(clock === undefined ? {} : { clock }),
      ...(random === undefined ? {} : { random }),
    });
    // What the API serves under the kind's path is checked by the store; the cast only names its envelope.
    const put = (object: KubeObject): void => store.put(object as unknown as KubernetesObject);
    const remove = ({ metadata }: KubeObject): void =>
      store.remove({ kind: definition.kind, namespace: metadata.namespace ?? 'default', name: metadata.name });
    // An object that gets the label of another revision is gone for this one, and one that loses it is new.
    const take = (object: KubeObject): void => (isOfRevision(object, revision) ? put(object) : remove(object));
    informer.subscribe({ onAdd: take, onUpdate: take, onDelete: remove });
    return { definition, informer };
  });
  return {
    informers: followed.map(({ informer }) => informer),
    async start(signal) {
      await Promise.all(
        followed.map(async ({ definition, informer }) => {
          if ((await findState(client, definition, signal)) !== 'missing') return informer.start(signal);
          log.warn(`The cluster does not define ${definition.kind}; it is ignored until its definition is applied`);
          void followOnceInstalled(options, { definition, informer, signal });
          return undefined;
        }),
      );
    },
  };
}

/**
 * Whether an object counts for a revision: without a label it counts for all. Tags are not looked up, by Istio's
 * `LabelsInRevision` (pkg/config/model.go): an object that names a tag counts for no revision that is named otherwise.
 */
function isOfRevision({ metadata }: KubeObject, revision: string | undefined): boolean {
  const label = metadata.labels?.[REVISION_LABEL];
  return label === undefined || revision === undefined || label === revision;
}

/** How often a cluster is asked for a definition that was missing. */
const DEFINITION_POLL_MS = 5_000;

async function followOnceInstalled(
  { client, log, clock = systemClock }: KubernetesSourceOptions,
  { definition, informer, signal }: { definition: KindDefinition; informer: Informer<KubeObject>; signal: AbortSignal },
): Promise<void> {
  do await sleep(clock, DEFINITION_POLL_MS, signal);
  while (!signal.aborted && (await findState(client, definition, signal)) !== 'served');
  if (signal.aborted) return;
  log.info(`The cluster defines ${definition.kind} now; it is followed`);
  await informer.start(signal);
}

/** Whether the cluster serves a kind. `unknown` when it cannot be asked: an informer then waits for it. */
async function findState(
  client: Pick<KubeClient, 'request'>,
  definition: KindDefinition,
  signal: AbortSignal,
): Promise<'served' | 'missing' | 'unknown'> {
  try {
    const path = `/apis/${definition.group}/${definition.storageVersion}`;
    const { status, body } = await client.request({ method: 'GET', path, signal });
    if (status === 404) return 'missing';
    if (status !== 200) return 'unknown';
    const { resources = [] } = JSON.parse(body) as { readonly resources?: readonly { readonly name: string }[] };
    return resources.some((resource) => resource.name === definition.plural) ? 'served' : 'missing';
  } catch {
    return 'unknown';
  }
}
