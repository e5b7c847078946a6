import {
  createCertificateService,
  createCitadelMetrics,
  createNodeAuthorizer,
  createPodReader,
  createServingCredentials,
  firstExpiryOf,
} from '@meltemi/citadel';
import { createInjectHandler, useNativeSidecars } from '@meltemi/injector';
import { findUnimplementedFields } from '@meltemi/pilot';
import { createHttpDebug, DEBUG_FOLDER } from '../debug/http-debug.ts';
import type { MeshCertificates } from '../mesh-certificates.ts';
import { type GrpcServerOptions, startGrpcServer } from '../servers/grpc-server.ts';
import { createHealthPages } from '../servers/health-pages.ts';
import { textAnswer } from '../servers/http-listener.ts';
import { type HttpFolder, startHttpServer } from '../servers/http-server.ts';
import { createInjectionMetrics } from '../servers/injection-metrics.ts';
import { createInjectionRoute } from '../servers/injection-route.ts';
import { parseListenAddress } from '../servers/listen-address.ts';
import { createValidationRoute } from '../servers/validation-route.ts';
import { type ListeningServer, startWebhookServer } from '../servers/webhook-server.ts';
import { parseTrustedAccounts } from '../trusted-accounts.ts';
import type { Clusters } from './clusters.ts';
import type { Configuration } from './configuration.ts';
import type { Discovery } from './discovery.ts';
import type { RunContext } from './run-context.ts';

/** What the servers serve. */
export interface ServedParts {
  readonly configuration: Configuration;
  readonly clusters: Clusters;
  readonly discovery: Discovery;
  readonly certificates: MeshCertificates;
}

/** Ports in use, which matters where 0 was asked for. */
export interface ServerPorts {
  readonly secureGrpc: number;
  /** Absent while it is off. */
  readonly grpc?: number;
  readonly webhooks: number;
  readonly monitoring: number;
  readonly http: number;
}

/** What the server for probes knows from the start. */
export interface HealthState {
  /** Whether everything that the control plane needs at start has been read. */
  readonly isReady: () => boolean;
  /** `undefined` while they are put together. */
  readonly parts: () => ServedParts | undefined;
}

/** Listens for probes, before anything that the start may have to wait for. */
export async function startHealthServer(run: RunContext, { isReady, parts }: HealthState): Promise<ListeningServer> {
  return run.own(
    await startHttpServer({
      address: parseListenAddress(run.settings.httpAddress, 'http-addr'),
      pages: createHealthPages({
        isReady,
        isStopping: () => run.signal.aborted,
        missingRights: () => run.permissions.missing(),
      }),
      folders: debugFolders(parts),
      log: run.log.scope('http'),
    }),
  );
}

/** Listens on every other port. */
export async function startServers(run: RunContext, parts: ServedParts): Promise<Omit<ServerPorts, 'http'>> {
  const grpc = await startGrpcServers(run, parts);
  const webhooks = run.own(await startWebhooks(run, parts));
  const monitoring = run.own(await startMonitoring(run, parts));
  return { ...grpc, webhooks: webhooks.port, monitoring: monitoring.port };
}

function debugFolders(parts: () => ServedParts | undefined): ReadonlyMap<string, HttpFolder> {
  const folder: HttpFolder = async (request) => {
    const discovery = parts()?.discovery;
    if (discovery === undefined) return textAnswer('the control plane is still starting\n', 503);
    return createHttpDebug(discovery.debug, discovery.authenticatePage)(request);
  };
  return new Map([[DEBUG_FOLDER, folder]]);
}

async function startGrpcServers(
  run: RunContext,
  { clusters, discovery, certificates }: ServedParts,
): Promise<Pick<ServerPorts, 'secureGrpc' | 'grpc'>> {
  const { settings, clock } = run;
  const metrics = createCitadelMetrics(run.metrics);
  const setExpiry = (): void => {
    const { rootPem, notAfterMs } = certificates.ca.bundle();
    metrics.setExpiry({ rootMs: firstExpiryOf(rootPem), chainMs: notAfterMs });
  };
  setExpiry();
  certificates.ca.onChange(setExpiry);
  const { revocations } = certificates;
  if (revocations !== undefined) {
    const tell = (): void =>
      metrics.setRevocations({ isRefused: revocations.problem() !== undefined, endMs: revocations.notAfterMs() });
    tell();
    revocations.onChange(tell);
  }
  const certificateService = createCertificateService({
    ca: certificates.ca,
    authenticators: discovery.authenticators,
    impersonation: createNodeAuthorizer({
      trustedAccounts: parseTrustedAccounts(settings.trustedNodeAccounts),
      podsOf(clusterId) {
        const found = clusterId === settings.clusterId ? run.client : clusters.remotes.clientOf(clusterId);
        return found === undefined ? undefined : createPodReader(found);
      },
    }),
    log: run.log.scope('citadel'),
    metrics,
  });
  const addServices: GrpcServerOptions['addServices'] = (server) => {
    discovery.engine.server.addTo(server);
    server.addService(certificateService.definition, certificateService.implementation);
  };
  const drain = (windowMs: number): Promise<void> => discovery.engine.server.drain(windowMs);
  const common = { addServices, clock, drain, shutdownMs: settings.shutdownMs };
  const secure = run.own(
    await startGrpcServer({
      ...common,
      address: parseListenAddress(settings.secureGrpcAddress, 'secure-grpc-addr'),
      credentials: createServingCredentials(certificates.serving),
    }),
  );
  if (settings.grpcAddress === '') return { secureGrpc: secure.port };
  const address = parseListenAddress(settings.grpcAddress, 'grpc-addr');
  const plain = run.own(await startGrpcServer({ ...common, address }));
  return { secureGrpc: secure.port, grpc: plain.port };
}

function startWebhooks(
  run: RunContext,
  { configuration, clusters, certificates }: ServedParts,
): ReturnType<typeof startWebhookServer> {
  const { injector, store, metrics } = configuration;
  const { settings, log } = run;
  return startWebhookServer({
    address: parseListenAddress(settings.httpsAddress, 'https-addr'),
    certificate: certificates.serving,
    routes: [
      createInjectionRoute({
        handler: createInjectHandler({
          config: () => injector.current(),
          nativeSidecars: (id) => useNativeSidecars(settings.nativeSidecars, clusters.aggregate.kubeletVersions(id)),
          namespaceAnnotations: clusters.aggregate.namespaceAnnotations,
          log: log.scope('injector'),
        }),
        metrics: createInjectionMetrics(run.metrics),
        clock: run.clock,
      }),
      createValidationRoute({
        store,
        domainSuffix: settings.domainSuffix,
        metrics,
        unimplemented: findUnimplementedFields,
      }),
    ],
    log: log.scope('webhook'),
  });
}

function startMonitoring(run: RunContext, parts: ServedParts): ReturnType<typeof startHttpServer> {
  const { clusters, discovery } = parts;
  const { metrics, settings, log } = run;
  const page = async (): Promise<ReturnType<typeof textAnswer>> => {
    // Gauges that nobody is told about when they change.
    clusters.remotes.reportMetrics();
    discovery.metrics.setConnected(discovery.engine.server.statuses().length);
    return { ...textAnswer(await metrics.metrics()), contentType: metrics.contentType };
  };
  return startHttpServer({
    address: parseListenAddress(settings.monitoringAddress, 'monitoring-addr'),
    pages: new Map([['/metrics', page]]),
    folders: debugFolders(() => parts),
    log: log.scope('http'),
  });
}
