import {
  type Authenticator,
  createClientCertificateAuthenticator,
  createKubernetesTokenAuthenticator,
  splitCertificates,
} from '@meltemi/citadel';
import type { MeshSnapshot } from '@meltemi/model';
import { createPushEngine, type PushEngine } from '@meltemi/pilot';
import type { StreamAuthenticator } from '@meltemi/xds/server';
import { createDebugDesk, type DebugDesk } from '../debug/debug-desk.ts';
import { createDiscoveryDebug } from '../debug/discovery-debug.ts';
import { createDebugPages } from '../debug/pages.ts';
import { createDiscoveryMetrics } from '../discovery-metrics.ts';
import type { MeshCertificates } from '../mesh-certificates.ts';
import { createStreamAuthenticator } from '../stream-authenticator.ts';
import { createTokenReviewClusters } from '../token-reviewers.ts';
import type { Clusters } from './clusters.ts';
import type { Configuration } from './configuration.ts';
import type { RunContext } from './run-context.ts';

/** Who callers are, and what proxies get. */
export interface Discovery {
  /** Asked in order. */
  readonly authenticators: readonly Authenticator[];
  /** For pages over HTTP. */
  readonly authenticatePage: StreamAuthenticator;
  /** Not started yet. */
  readonly engine: PushEngine;
  /** Answers questions about all this. */
  readonly debug: DebugDesk;
  readonly metrics: ReturnType<typeof createDiscoveryMetrics>;
  /** Calls back with each new snapshot, before anything of it is sent. */
  onSnapshot(listener: (snapshot: MeshSnapshot) => void): void;
}

/**
 * Reviews of tokens under way for pages over HTTP. Everybody can send a token there without so much as a TLS handshake; that must
 * not keep proxies from discovery and certificates, whose reviews go over the same few connections.
 */
const MAX_PAGE_REVIEWS = 4;

/** Joins configuration and clusters into snapshots of the mesh, and prepares pushing them. */
export function prepareDiscovery(
  run: RunContext,
  configuration: Configuration,
  clusters: Clusters,
  { roots, revocations }: Pick<MeshCertificates, 'roots' | 'revocations'>,
): Discovery {
  const { client, clock, log, settings } = run;
  const { clusterId, domainSuffix } = settings;
  const { meshConfig, store } = configuration;
  const { aggregate, local, remotes, unknown } = clusters;
  const tokens = {
    clusters: createTokenReviewClusters({ localClusterId: clusterId, client, remotes, unknown }),
    localClusterId: clusterId,
    // Like the CA's own certificates, identities keep the trust domain that the process began with.
    trustDomain: meshConfig.current().trustDomain,
  };
  const authenticators = [
    createClientCertificateAuthenticator(revocations?.isRevoked),
    createKubernetesTokenAuthenticator(tokens),
  ];
  const pageTokens = createKubernetesTokenAuthenticator({ ...tokens, maxReviews: MAX_PAGE_REVIEWS });
  const metrics = createDiscoveryMetrics(run.metrics);
  const snapshotListeners: ((snapshot: MeshSnapshot) => void)[] = [];
  const engine = createPushEngine({
    collect: () => ({
      meshConfig: meshConfig.current(),
      domainSuffix,
      ...aggregate.inputs(),
      trustAnchors: settings.multiRoot ? splitCertificates(roots.rootPem()) : [],
      configs: store.list().filter(({ namespace }) => local.discovers(namespace)),
    }),
    clock,
    log: log.scope('pilot'),
    debounceMs: settings.debounceMs,
    maxDebounceMs: settings.maxDebounceMs,
    authenticate: createStreamAuthenticator(authenticators),
    // Made below, of what the engine knows.
    questions: createDiscoveryDebug((request) => debug(request)),
    observer: metrics,
    onSnapshot: (snapshot) => snapshotListeners.forEach((listener) => listener(snapshot)),
    controlPlane: JSON.stringify({ Component: 'istiod', ID: settings.podName, Info: { version: 'meltemi' } }),
  });
  const debug = prepareDebug(run, { configuration, clusters, engine });
  run.own({ [Symbol.asyncDispose]: async () => engine[Symbol.dispose]() });
  meshConfig.onChange(() => {
    aggregate.invalidate();
    engine.notify();
  });
  aggregate.onChange(() => engine.notify());
  roots.onChange(() => engine.notify());
  store.onChange(() => engine.notify());
  const onSnapshot: Discovery['onSnapshot'] = (listener) => void snapshotListeners.push(listener);
  return {
    authenticators,
    authenticatePage: createStreamAuthenticator([pageTokens]),
    engine,
    debug,
    metrics,
    onSnapshot,
  };
}

function prepareDebug(
  { settings, clock, log }: RunContext,
  parts: { readonly configuration: Configuration; readonly clusters: Clusters; readonly engine: PushEngine },
): DebugDesk {
  const { configuration, clusters, engine } = parts;
  const { meshConfig, store, injector } = configuration;
  const { remotes, unknown } = clusters;
  const { clusterId, namespace, debugNamespaces } = settings;
  return createDebugDesk({
    pages: createDebugPages({
      localClusterId: clusterId,
      engine,
      clock,
      store,
      meshConfig,
      injector,
      remoteClusters: () => remotes.list(),
      unknownClusters: () => unknown.list([clusterId, ...remotes.ids()]),
    }),
    trustedNamespaces: new Set([namespace, ...debugNamespaces.split(',').flatMap((name) => name.trim() || [])]),
    log: log.scope('debug'),
  });
}
