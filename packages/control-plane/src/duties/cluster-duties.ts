import type { Clock, Log, Random } from '@meltemi/base';
import type { KubeClient } from '@meltemi/kube';
import { keepDiscoveryAddress } from './discovery-address.ts';
import { keepInjectionBundle } from './injection-bundle.ts';
import { whileConsented } from './remote-consent.ts';
import { keepRootCertificates } from './root-certificates.ts';
import type { RootSource } from './root-source.ts';
import { keepValidationBundle } from './validation-bundle.ts';

/** What the duties in one cluster are done with. */
export interface ClusterDutyOptions {
  readonly clusterId: string;
  readonly client: KubeClient;
  readonly revision: string;
  readonly roots: RootSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** What the duties in a remote cluster are done with, besides. */
export interface RemoteDutyOptions extends ClusterDutyOptions {
  readonly systemNamespace: string;
  /** The cluster that this control plane runs in. */
  readonly controlPlaneCluster: string;
  /** Where the remote Service `istiod` shall lead; absent outside of a pod. */
  readonly podIp: string | undefined;
}

/** What the duties in the control plane's own cluster are done with, besides. */
export interface LocalDutyOptions extends ClusterDutyOptions {
  /** Resolves when the control plane can answer webhooks. */
  readonly ready: Promise<void>;
}

/** Does in the control plane's own cluster what workloads need before they can join. Ends when the signal aborts. */
export async function runLocalDuties(options: LocalDutyOptions, signal: AbortSignal): Promise<void> {
  // Validation becomes binding with its certificate, so it has to wait: nobody could change configuration meanwhile.
  const validation = async (): Promise<void> => {
    await options.ready;
    if (!signal.aborted) await keepValidationBundle(options, signal);
  };
  await Promise.all([keepRootCertificates(options, signal), keepInjectionBundle(options, signal), validation()]);
}

/**
 * Does the same in a remote cluster, as long as that names this control plane: the mesh's roots in every namespace, the
 * certificate of the sidecar webhook, and the control plane's address. Ends when the signal aborts.
 */
export async function runRemoteDuties(options: RemoteDutyOptions, signal: AbortSignal): Promise<void> {
  const { podIp, systemNamespace } = options;
  await whileConsented(options, signal, async (consented) => {
    await Promise.all([
      keepRootCertificates(options, consented),
      keepInjectionBundle(options, consented),
      ...(podIp === undefined
        ? []
        : [
            keepDiscoveryAddress(
              { ...options, discoveryAddress: { ip: podIp, namespace: systemNamespace } },
              consented,
            ),
          ]),
    ]);
  });
}
