import type { Clock, Log, Random } from '@meltemi/base';
import { createInformer, type KubeClient, NAMESPACES, type Namespace } from '@meltemi/kube';
import { untilAborted } from '../until-aborted.ts';

/** Annotation of a remote cluster's system namespace: the clusters whose control planes may act in it, or `*`. */
export const CONTROL_PLANE_CLUSTERS_ANNOTATION = 'topology.istio.io/controlPlaneClusters';

/** What {@link whileConsented} works with. */
export interface RemoteConsentOptions {
  /** The remote cluster. */
  readonly clusterId: string;
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server'>;
  readonly systemNamespace: string;
  /** The cluster that this control plane runs in. */
  readonly controlPlaneCluster: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Runs duties in a remote cluster for as long as its system namespace names this control plane: reading a cluster
 * gives no right to write to it.
 */
export async function whileConsented(
  options: RemoteConsentOptions,
  signal: AbortSignal,
  duties: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { clusterId, client, systemNamespace, controlPlaneCluster, clock, random, log } = options;
  const informer = createInformer<Namespace>({
    client,
    ref: NAMESPACES,
    fieldSelector: `metadata.name=${systemNamespace}`,
    log,
    clock,
    random,
  });
  let current: AbortController | undefined;
  let running: Promise<void> = Promise.resolve();
  const decide = (namespace: Namespace | undefined): void => {
    const consents = namespace !== undefined && hasConsent(namespace, controlPlaneCluster);
    if (consents && current === undefined) {
      const begun = new AbortController();
      current = begun;
      running = running.then(() => duties(AbortSignal.any([signal, begun.signal])));
    } else if (!consents && current !== undefined) {
      log.info('The remote cluster no longer names this control plane; its duties there end', { cluster: clusterId });
      current.abort();
      current = undefined;
    } else if (!consents) {
      log.info('The remote cluster does not name this control plane; nothing is written there', {
        cluster: clusterId,
        annotation: CONTROL_PLANE_CLUSTERS_ANNOTATION,
      });
    }
  };
  informer.subscribe({
    onAdd: decide,
    onUpdate: (namespace, previous) => {
      const key = CONTROL_PLANE_CLUSTERS_ANNOTATION;
      if (namespace.metadata.annotations?.[key] !== previous.metadata.annotations?.[key]) decide(namespace);
    },
    onDelete: () => decide(undefined),
  });
  await informer.start(signal);
  await untilAborted(signal);
  current?.abort();
  await running;
}

/** Whether a system namespace names a control plane. */
export function hasConsent({ metadata }: Namespace, controlPlaneCluster: string): boolean {
  const named = (metadata.annotations?.[CONTROL_PLANE_CLUSTERS_ANNOTATION] ?? '').split(',').map((id) => id.trim());
  return named.includes('*') || named.includes(controlPlaneCluster);
}
