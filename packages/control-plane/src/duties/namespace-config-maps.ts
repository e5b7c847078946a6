import type { Clock, Log, Random } from '@meltemi/base';
import {
  createConfigMapDistributor,
  type DistributedConfigMap,
  REVOCATION_CONFIG_MAP,
  type Revocations,
  ROOT_CERT_CONFIG_MAP,
} from '@meltemi/citadel';
import type { KubeClient } from '@meltemi/kube';
import { untilAborted } from '../until-aborted.ts';
import type { RootSource } from './root-source.ts';

/** What {@link keepTrust} works with. */
export interface TrustOptions {
  readonly client: KubeClient;
  readonly roots: RootSource;
  /** `undefined` without a plugged-in CA: there are no lists then, and nothing is touched. */
  readonly revocations: Pick<Revocations, 'pem' | 'onChange'> | undefined;
  /** By labels, which namespaces get them; asked whenever the content or the selection change. */
  readonly discoversNamespace: (labels: Readonly<Record<string, string>>) => boolean;
  /** Calls back when the selection changes. @returns Ends it. */
  readonly onSelectionChange: (listener: () => void) => () => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Keeps ConfigMaps `istio-ca-root-cert` and `istio-ca-crl` in every namespace of a cluster, until the signal aborts. They do
 * not wait for each other: a cluster that grants the first alone still gets it.
 */
export async function keepTrust(options: TrustOptions, signal: AbortSignal): Promise<void> {
  const { roots, revocations } = options;
  const kept = [
    keepConfigMap(
      options,
      { configMap: ROOT_CERT_CONFIG_MAP, content: roots.rootPem, onChange: roots.onChange },
      signal,
    ),
  ];
  if (revocations !== undefined) {
    const lists = { configMap: REVOCATION_CONFIG_MAP, content: revocations.pem, onChange: revocations.onChange };
    kept.push(keepConfigMap(options, lists, signal));
  }
  await Promise.all(kept);
}

interface Distributed {
  readonly configMap: DistributedConfigMap;
  readonly content: () => string | undefined;
  readonly onChange: (listener: () => void) => () => void;
}

async function keepConfigMap(
  { client, discoversNamespace, onSelectionChange, clock, random, log }: TrustOptions,
  { configMap, content, onChange }: Distributed,
  signal: AbortSignal,
): Promise<void> {
  await using distributor = createConfigMapDistributor({
    client,
    configMap,
    content,
    isSelected: discoversNamespace,
    clock,
    random,
    log,
  });
  const stops = [onChange(() => distributor.refresh()), onSelectionChange(() => distributor.refresh())];
  try {
    // A cluster that does not answer keeps the start waiting, and must not keep the end waiting.
    await Promise.race([distributor.start(signal), untilAborted(signal)]);
    await untilAborted(signal);
  } finally {
    for (const stop of stops) stop();
  }
}
