import type { Clock, Log, Random } from '@meltemi/base';
import { createRootCertDistributor } from '@meltemi/citadel';
import type { KubeClient } from '@meltemi/kube';
import { untilAborted } from '../until-aborted.ts';
import type { RootSource } from './root-source.ts';

/** What {@link keepRootCertificates} works with. */
export interface RootCertificateOptions {
  readonly client: KubeClient;
  readonly roots: RootSource;
  /** By labels, which namespaces get them; asked whenever the roots or the selection change. */
  readonly discoversNamespace: (labels: Readonly<Record<string, string>>) => boolean;
  /** Calls back when the selection changes. @returns Ends it. */
  readonly onSelectionChange: (listener: () => void) => () => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Keeps ConfigMap `istio-ca-root-cert` in every namespace of a cluster, until the signal aborts. */
export async function keepRootCertificates(options: RootCertificateOptions, signal: AbortSignal): Promise<void> {
  const { client, roots, discoversNamespace, onSelectionChange, clock, random, log } = options;
  await using distributor = createRootCertDistributor({
    client,
    bundle: roots.rootPem,
    isSelected: discoversNamespace,
    clock,
    random,
    log,
  });
  const stops = [roots.onChange(() => distributor.refresh()), onSelectionChange(() => distributor.refresh())];
  try {
    // A cluster that does not answer keeps the start waiting, and must not keep the end waiting.
    await Promise.race([distributor.start(signal), untilAborted(signal)]);
    await untilAborted(signal);
  } finally {
    for (const stop of stops) stop();
  }
}
