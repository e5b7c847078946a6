import type { Clock, Log, Random } from '@meltemi/base';
import { createRootCertDistributor } from '@meltemi/citadel';
import type { KubeClient } from '@meltemi/kube';
import { untilAborted } from '../until-aborted.ts';
import type { RootSource } from './root-source.ts';

/** What {@link keepRootCertificates} works with. */
export interface RootCertificateOptions {
  readonly client: KubeClient;
  readonly roots: RootSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Keeps ConfigMap `istio-ca-root-cert` in every namespace of a cluster, until the signal aborts. */
export async function keepRootCertificates(options: RootCertificateOptions, signal: AbortSignal): Promise<void> {
  const { client, roots, clock, random, log } = options;
  await using distributor = createRootCertDistributor({ client, bundle: roots.rootPem, clock, random, log });
  const stopFollowing = roots.onChange(() => distributor.refresh());
  try {
    // A cluster that does not answer keeps the start waiting, and must not keep the end waiting.
    await Promise.race([distributor.start(signal), untilAborted(signal)]);
    await untilAborted(signal);
  } finally {
    stopFollowing();
  }
}
