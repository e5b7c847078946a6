import { type Clock, createTaskOwner, disposeAll, type Log, messageOf, type Random } from '@meltemi/base';
import {
  createCertificateService,
  createCitadelMetrics,
  createClientCertificateAuthenticator,
  createKubernetesTokenAuthenticator,
  createServingCredentials,
} from '@meltemi/citadel';
import {
  createConfigStore,
  createGalleyMetrics,
  createKubernetesSource,
  createMeshConfigSource,
  type UnimplementedFields,
  writeRejectionEvent,
} from '@meltemi/galley';
import { createInjectHandler } from '@meltemi/injector';
import { type ClusterAccess, createKubeClient, RISKY_KUBECONFIG_FIELDS } from '@meltemi/kube';
import { createPushEngine } from '@meltemi/pilot';
import {
  type AttachedCluster,
  createAggregateRegistry,
  createKubernetesRegistry,
  createRegistryMetrics,
  createRemoteClusters,
} from '@meltemi/registry';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { createDebugPages } from './debug/pages.ts';
import { createDiscoveryMetrics } from './discovery-metrics.ts';
import { runLocalDuties, runRemoteDuties } from './duties/cluster-duties.ts';
import { createInjectorSettings } from './injector-settings.ts';
import { loadMeshCertificates } from './mesh-certificates.ts';
import type { ControlPlaneSettings } from './options.ts';
import { createSecretStore } from './secret-store.ts';
import { startGrpcServer } from './servers/grpc-server.ts';
import { textAnswer } from './servers/http-listener.ts';
import { startHttpServer } from './servers/http-server.ts';
import { createInjectionRoute } from './servers/injection-route.ts';
import { parseListenAddress } from './servers/listen-address.ts';
import { createValidationRoute } from './servers/validation-route.ts';
import { startWebhookServer } from './servers/webhook-server.ts';
import { createStreamAuthenticator } from './stream-authenticator.ts';
import { createTokenReviewClusters } from './token-reviewers.ts';

/** What a control plane is made of. */
export interface ControlPlaneOptions {
  readonly settings: ControlPlaneSettings;
  /** How to reach the API server of its own cluster. */
  readonly access: ClusterAccess;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Fields that are accepted but have no effect yet; the validating webhook warns of them. */
  readonly unimplemented?: UnimplementedFields;
  /** Adds metrics of the process itself. Default false. */
  readonly processMetrics?: boolean;
}

/** A control plane that runs. */
export interface ControlPlane extends AsyncDisposable {
  /** Ports in use, which matters where 0 was asked for. `grpc` is absent while that is off. */
  readonly ports: {
    readonly secureGrpc: number;
    readonly grpc?: number;
    readonly webhooks: number;
    readonly monitoring: number;
    readonly http: number;
  };
  /** Resolves when the own cluster and every remote one that there was at start is read, or was given up on for now. */
  readonly ready: Promise<void>;
}

/**
 * Starts a control plane: configuration, discovery in all clusters, the certificate authority, the injector and the
 * servers. Resolves when the servers listen; `ready` follows when the sources are read.
 */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { settings, clock, random, log } = options;
  const stop = new AbortController();
  const parts: AsyncDisposable[] = [];
  const tasks = createTaskOwner((name, error) => log.error(`${name} failed`, { error: messageOf(error) }));
  const dispose = async (): Promise<void> => {
    stop.abort();
    await disposeAll(parts, (message) => log.warn(message));
    await tasks.settled();
  };
  try {
    return await assemble({ options, stop, parts, tasks, dispose });
  } catch (error) {
    await dispose();
    throw error;
  }

  /** Builds the parts in the order of their dependencies; `parts` is what there is to dispose of so far. */
  async function assemble(run: {
    readonly options: ControlPlaneOptions;
    readonly stop: AbortController;
    readonly parts: AsyncDisposable[];
    readonly tasks: ReturnType<typeof createTaskOwner>;
    readonly dispose: () => Promise<void>;
  }): Promise<ControlPlane> {
    const { signal } = run.stop;
    const common = { clock, random, log };
    const metrics = new Registry();
    if (options.processMetrics === true) collectDefaultMetrics({ register: metrics });
    const { clusterId, namespace, revision, domainSuffix } = settings;
    const userAgent = 'meltemi-control-plane';
    const client = createKubeClient({ access: options.access, clock, userAgent });
    parts.push(client);

    // Configuration. MeshConfig comes first: identities and conversions depend on it.
    const meshConfig = createMeshConfigSource({ ...common, client, namespace, log: log.scope('mesh-config') });
    const injector = createInjectorSettings({
      ...common,
      client,
      namespace,
      revision,
      clusterId,
      meshConfig: () => meshConfig.current(),
      log: log.scope('injector'),
    });
    await Promise.all([meshConfig.start(signal), injector.start(signal)]);
    const galleyMetrics = createGalleyMetrics(metrics);
    const store = createConfigStore({ log: log.scope('galley'), metrics: galleyMetrics });
    store.onReject((rejection, object) =>
      tasks.run('Writing an Event', () => writeRejectionEvent(rejection, object, { client, clock, log })),
    );

    // Services of all clusters.
    const aggregate = createAggregateRegistry({ log: log.scope('registry') });
    const registryOf = (id: string, clusterClient: typeof client): ReturnType<typeof createKubernetesRegistry> =>
      createKubernetesRegistry({
        ...common,
        clusterId: id,
        client: clusterClient,
        systemNamespace: namespace,
        domainSuffix,
        trustDomain: () => meshConfig.current().trustDomain,
        log: log.scope('registry'),
      });
    const localRegistry = registryOf(clusterId, client);
    aggregate.set(localRegistry);
    const certificates = await loadMeshCertificates({
      caDirectory: settings.caDirectory,
      secrets: createSecretStore(client, namespace),
      trustDomain: meshConfig.current().trustDomain,
      namespace,
      revision,
      customHosts: settings.customHosts.split(',').filter((host) => host !== ''),
      clock,
      log: log.scope('citadel'),
    });
    parts.push(certificates);
    const duties = { ...common, revision, roots: certificates.roots, log: log.scope('duties') };
    const attach = (cluster: AttachedCluster): void =>
      tasks.run(`Looking after cluster ${cluster.clusterId}`, () =>
        runRemoteDuties(
          {
            ...duties,
            clusterId: cluster.clusterId,
            client: cluster.client,
            systemNamespace: namespace,
            controlPlaneCluster: clusterId,
            podIp: settings.podIp,
          },
          cluster.signal,
        ),
      );
    const registryMetrics = createRegistryMetrics(metrics);
    const allowed = settings.insecureKubeconfigOptions.split(',');
    const remotes = createRemoteClusters({
      ...common,
      client,
      namespace,
      localClusterId: clusterId,
      aggregate,
      connect(id, access) {
        const remote = createKubeClient({ access, clock, userAgent });
        return { client: remote, registry: registryOf(id, remote) };
      },
      onAttach: attach,
      allow: new Set(RISKY_KUBECONFIG_FIELDS.filter((field) => allowed.includes(field))),
      syncTimeoutMs: settings.remoteClusterTimeoutMs,
      log: log.scope('remote'),
      metrics: registryMetrics,
    });
    parts.push(remotes);

    // Who callers are, and what proxies get.
    const authenticators = [
      createClientCertificateAuthenticator(),
      createKubernetesTokenAuthenticator({
        clusters: createTokenReviewClusters({ localClusterId: clusterId, client, remotes }),
        localClusterId: clusterId,
        trustDomain: meshConfig.current().trustDomain,
      }),
    ];
    const discoveryMetrics = createDiscoveryMetrics(metrics);
    const engine = createPushEngine({
      collect: () => ({
        meshConfig: meshConfig.current(),
        domainSuffix,
        ...aggregate.inputs(),
        configs: store.list(),
      }),
      clock,
      log: log.scope('pilot'),
      debounceMs: settings.debounceMs,
      maxDebounceMs: settings.maxDebounceMs,
      authenticate: createStreamAuthenticator(authenticators),
      observer: discoveryMetrics,
      controlPlane: JSON.stringify({ Component: 'istiod', ID: settings.podName, Info: { version: 'meltemi' } }),
    });
    parts.push({ [Symbol.asyncDispose]: async () => engine[Symbol.dispose]() });
    meshConfig.onChange(() => {
      aggregate.invalidate();
      engine.notify();
    });
    aggregate.onChange(() => engine.notify());
    store.onChange(() => engine.notify());

    // Servers.
    const certificateService = createCertificateService({
      ca: certificates.ca,
      authenticators,
      log: log.scope('citadel'),
      metrics: createCitadelMetrics(metrics),
    });
    const addServices = (server: Parameters<typeof engine.server.addTo>[0]): void => {
      engine.server.addTo(server);
      server.addService(certificateService.definition, certificateService.implementation);
    };
    const grpc = { addServices, clock, shutdownMs: settings.shutdownMs };
    const secureGrpc = await startGrpcServer({
      ...grpc,
      address: parseListenAddress(settings.secureGrpcAddress, 'secure-grpc-addr'),
      credentials: createServingCredentials(certificates.serving),
    });
    parts.push(secureGrpc);
    const plainGrpc =
      settings.grpcAddress === ''
        ? undefined
        : await startGrpcServer({ ...grpc, address: parseListenAddress(settings.grpcAddress, 'grpc-addr') });
    if (plainGrpc !== undefined) parts.push(plainGrpc);
    const webhooks = await startWebhookServer({
      address: parseListenAddress(settings.httpsAddress, 'https-addr'),
      certificate: certificates.serving,
      routes: [
        createInjectionRoute(createInjectHandler({ config: () => injector.current(), log: log.scope('injector') })),
        createValidationRoute({
          store,
          domainSuffix,
          metrics: galleyMetrics,
          ...(options.unimplemented === undefined ? {} : { unimplemented: options.unimplemented }),
        }),
      ],
      log: log.scope('webhook'),
    });
    parts.push(webhooks);
    const monitoring = await startHttpServer({
      address: parseListenAddress(settings.monitoringAddress, 'monitoring-addr'),
      pages: new Map([
        [
          '/metrics',
          async () => {
            remotes.reportMetrics();
            registryMetrics.managedClusters('local', 1);
            discoveryMetrics.setConnected(engine.server.statuses().length);
            return { ...textAnswer(await metrics.metrics()), contentType: metrics.contentType };
          },
        ],
      ]),
      log: log.scope('http'),
    });
    parts.push(monitoring);
    let isReady = false;
    const http = await startHttpServer({
      address: parseListenAddress(settings.httpAddress, 'http-addr'),
      pages: createDebugPages({
        localClusterId: clusterId,
        engine,
        store,
        meshConfig,
        remoteClusters: () => remotes.list(),
        isReady: () => isReady,
      }),
      loopbackOnlyPrefix: '/debug',
      log: log.scope('http'),
    });
    parts.push(http);

    // Sources, once everything that they feed is there.
    const source = createKubernetesSource({ ...common, client, store, log: log.scope('galley') });
    const sync = async (): Promise<void> => {
      await Promise.all([source.start(signal), localRegistry.start(signal), remotes.start(signal)]);
      if (signal.aborted) return;
      engine.start();
      isReady = true;
      log.info('Ready', { cluster: clusterId, version: engine.snapshot()?.version, clusters: aggregate.clusterIds });
    };
    const ready = sync();
    tasks.run('Reading the sources', ready);
    tasks.run('Looking after the own cluster', () => runLocalDuties({ ...duties, clusterId, client }, signal));
    return {
      ports: {
        secureGrpc: secureGrpc.port,
        ...(plainGrpc === undefined ? {} : { grpc: plainGrpc.port }),
        webhooks: webhooks.port,
        monitoring: monitoring.port,
        http: http.port,
      },
      ready,
      [Symbol.asyncDispose]: run.dispose,
    };
  }
}
