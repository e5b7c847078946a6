import type { Clock, Log, Random } from '@meltemi/base';
import { createCaBundlePatcher } from '@meltemi/injector';
import type { KubeClient } from '@meltemi/kube';
import { untilAborted } from '../until-aborted.ts';
import type { RootSource } from './root-source.ts';

/** What {@link keepInjectionBundle} works with. */
export interface InjectionBundleOptions {
  readonly client: KubeClient;
  readonly revision: string;
  readonly roots: RootSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Keeps the certificate that an API server verifies the sidecar webhook by up to date, until the signal aborts. */
export async function keepInjectionBundle(options: InjectionBundleOptions, signal: AbortSignal): Promise<void> {
  const { roots } = options;
  await using patcher = createCaBundlePatcher({ ...options, bundle: () => roots.rootPem() });
  const stopFollowing = roots.onChange(() => patcher.refresh());
  try {
    await patcher.start(signal);
    await untilAborted(signal);
  } finally {
    stopFollowing();
  }
}
