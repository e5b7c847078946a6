import {
  type Authenticator,
  createClientCertificateAuthenticator,
  createKubernetesTokenAuthenticator,
  type Revocations,
} from '@meltemi/citadel';
import type { MeshSnapshot } from '@meltemi/model';
import { createPushEngine, type PushEngine } from '@meltemi/pilot';
import { createDiscoveryMetrics } from '../discovery-metrics.ts';
import { createStreamAuthenticator } from '../stream-authenticator.ts';
import { createTokenReviewClusters } from '../token-reviewers.ts';
import type { Clusters } from './clusters.ts';
import type { Configuration } from './configuration.ts';
import type { RunContext } from './run-context.ts';

/** Who callers are, and what proxies get. */
export interface Discovery {
  /** Asked in order. */
  readonly authenticators: readonly Authenticator[];
  /** Not started yet. */
  readonly engine: PushEngine;
  readonly metrics: ReturnType<typeof createDiscoveryMetrics>;
  /** Calls back with each new snapshot, before anything of it is sent. */
  onSnapshot(listener: (snapshot: MeshSnapshot) => void): void;
}

/** Joins configuration and clusters into snapshots of the mesh, and prepares pushing them. */
export function prepareDiscovery(
  run: RunContext,
  { meshConfig, store }: Configuration,
  { aggregate, local, remotes, unknown }: Clusters,
  revocations: Pick<Revocations, 'isRevoked'> | undefined,
): Discovery {
  const { client, clock, log, settings } = run;
  const { clusterId, domainSuffix } = settings;
  const authenticators = [
    createClientCertificateAuthenticator(revocations?.isRevoked),
    createKubernetesTokenAuthenticator({
      clusters: createTokenReviewClusters({ localClusterId: clusterId, client, remotes, unknown }),
      localClusterId: clusterId,
      // Like the CA's own certificates, identities keep the trust domain that the process began with.
      trustDomain: meshConfig.current().trustDomain,
    }),
  ];
  const metrics = createDiscoveryMetrics(run.metrics);
  const snapshotListeners: ((snapshot: MeshSnapshot) => void)[] = [];
  const engine = createPushEngine({
    collect: () => ({
      meshConfig: meshConfig.current(),
      domainSuffix,
      ...aggregate.inputs(),
      configs: store.list().filter(({ namespace }) => local.discovers(namespace)),
    }),
    clock,
    log: log.scope('pilot'),
    debounceMs: settings.debounceMs,
    maxDebounceMs: settings.maxDebounceMs,
    authenticate: createStreamAuthenticator(authenticators),
    observer: metrics,
    onSnapshot: (snapshot) => snapshotListeners.forEach((listener) => listener(snapshot)),
    controlPlane: JSON.stringify({ Component: 'istiod', ID: settings.podName, Info: { version: 'meltemi' } }),
  });
  run.own({ [Symbol.asyncDispose]: async () => engine[Symbol.dispose]() });
  meshConfig.onChange(() => {
    aggregate.invalidate();
    engine.notify();
  });
  aggregate.onChange(() => engine.notify());
  store.onChange(() => engine.notify());
  return { authenticators, engine, metrics, onSnapshot: (listener) => void snapshotListeners.push(listener) };
}
