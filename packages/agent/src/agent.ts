import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  type Clock,
  createTaskOwner,
  disposeAll,
  type Log,
  type LogLevels,
  MeltemiError,
  messageOf,
  type Random,
} from '@meltemi/base';
import type { KubeClient } from '@meltemi/kube';
import { buildBootstrap } from './bootstrap/bootstrap.ts';
import { buildGrpcBootstrap } from './bootstrap/grpc-bootstrap.ts';
import { buildNode } from './bootstrap/node.ts';
import { readPodInfo } from './bootstrap/pod-info.ts';
import { buildStatsSettings, ownRegexps } from './bootstrap/stats-settings.ts';
import { type AgentDns, startAgentDns } from './dns/agent-dns.ts';
import { type AnchoredIdentity, withTrustAnchors } from './identity/anchored-identity.ts';
import { createCaClient } from './identity/ca-client.ts';
import { keepCertificateFiles } from './identity/certificate-files.ts';
import type { ControlPlaneAccess } from './identity/control-plane-channel.ts';
import { certificatesIn, findMountedCertificates, namedCertificates } from './identity/mounted-certificates.ts';
import { createMountedIdentity } from './identity/mounted-identity.ts';
import { resolveRootPath } from './identity/root-path.ts';
import { createWorkloadIdentity, type WorkloadIdentity } from './identity/workload-identity.ts';
import type { DataPlane, DataPlaneExit } from './lifecycle/data-plane.ts';
import { createDrain, type DrainOptions } from './lifecycle/drain.ts';
import { createEmbeddedProxy } from './lifecycle/embedded-proxy.ts';
import { createEnvoyProcess } from './lifecycle/envoy-process.ts';
import { createProxyless, type SidecarParts } from './lifecycle/proxyless.ts';
import { isServedElsewhere } from './sds/external-socket.ts';
import { createFileSecretSource } from './sds/file-secret-source.ts';
import { joinSecretSources } from './sds/joined-secret-source.ts';
import { createKubernetesSecretSource } from './sds/kubernetes-secret-source.ts';
import { followRevocationFile } from './sds/revocation-file.ts';
import { startSdsServer } from './sds/sds-server.ts';
import { createWorkloadSecretSource } from './sds/workload-secret-source.ts';
import { type AgentSettings, isWildcard } from './settings.ts';
import { createAgentMetrics } from './status/agent-metrics.ts';
import { type ApplicationHealth, createApplicationHealth } from './status/application-health.ts';
import { createApplicationProbes, parseApplicationProbes } from './status/application-probes.ts';
import { createMetricsMerger } from './status/merged-metrics.ts';
import { createReadiness, type Readiness } from './status/readiness.ts';
import { readScrapeTargets } from './status/scrape-target.ts';
import { type StatusServer, startStatusServer } from './status/status-server.ts';
import { startAdsProxy } from './xds-proxy/ads-proxy.ts';
import type { SubscribeStream } from './xds-proxy/stream-subscription.ts';

/** What an agent is made of. */
export interface AgentOptions {
  readonly settings: AgentSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly logLevels: LogLevels;
}

/** The sidecar's process: identity, discovery, status and the proxy itself. */
export interface Agent extends AsyncDisposable {
  start(): Promise<void>;
  /** Resolves when the sidecar has to end: the proxy ended, or `/quitquitquit`. */
  readonly ended: Promise<DataPlaneExit>;
  /** Takes the pod out of service: not ready, inbound connections drain, as long as the settings say. */
  drain(): Promise<void>;
  statusPort(): number;
}

/** Builds the sidecar; nothing is opened before `start`. */
export function createAgent(options: AgentOptions): Agent {
  const { settings, clock, log } = options;
  const { paths, proxyConfig } = settings;
  const stopped = new AbortController();
  const tasks = createTaskOwner((name, error) =>
    log.error('A task of the agent failed', { name, error: messageOf(error) }),
  );
  const parts: AsyncDisposable[] = [];
  const identity = withTrustAnchors(createIdentity(options));
  let hasOtherIdentity = false;
  let dns: AgentDns | undefined;
  const quit = Promise.withResolvers<DataPlaneExit>();
  const bootstrapPath = proxyConfig.customConfigFile ?? join(proxyConfig.configPath, 'envoy-rev.json');
  const { dataPlane, readiness, drain } = settings.runsProxy
    ? withProxy(options, bootstrapPath, () => dns?.missing())
    : createProxyless({
        hasCertificate: () => hasOtherIdentity || identity.current() !== undefined,
        clock,
        terminationDrainMs: proxyConfig.terminationDrainDurationMs,
      });
  const serveIdentity = async (): Promise<void> => {
    const { certificateOutput } = settings;
    if (certificateOutput !== undefined) parts.push(keepCertificateFiles(identity, certificateOutput, log.scope('ca')));
    tasks.run('workload identity', identity.run(stopped.signal));
    const revocations = await followRevocationFile({ path: paths.revocationLists, log: log.scope('sds') });
    parts.push(revocations);
    const sdsLog = log.scope('sds');
    const ofFiles = createFileSecretSource({
      root: paths.root,
      clock,
      log: sdsLog,
      debounceMs: settings.fileDebounceMs,
    });
    parts.push(ofFiles);
    const ofWorkload = createWorkloadSecretSource(identity, { revocations, nowMs: () => clock.nowMs() });
    const ofSecrets = createKubernetesSecretSource({
      connect: () => connectToApiServer(settings.env),
      namespace: settings.namespace,
      tasks,
      clock,
      random: options.random,
      log: sdsLog,
    });
    parts.push(ofSecrets);
    const secrets = joinSecretSources([ofWorkload, ofFiles, ofSecrets]);
    parts.push(await startSdsServer({ secrets, socketPath: paths.sdsSocket, log: sdsLog }));
  };
  let statusServer: StatusServer | undefined;

  return {
    ended: Promise.race([dataPlane.ended, quit.promise]),
    statusPort: () => statusServer?.port ?? 0,
    async start() {
      const access = accessTo(options, 'xds');
      const adsSocketPath = join(proxyConfig.configPath, 'XDS');
      // First of all: where sockets are told apart by a mark, whoever looks up the control plane's name asks here.
      dns = await startAgentDns({ settings, random: options.random, log: log.scope('dns') });
      if (dns !== undefined) parts.push(dns);
      hasOtherIdentity = await isServedElsewhere({ path: paths.sdsSocket, isNamed: settings.isSdsSocketNamed, clock });
      if (hasOtherIdentity) log.info('Secrets are served by another process', { socket: paths.sdsSocket });
      else await serveIdentity();
      const health = createHealth(options, readiness);
      if (health !== undefined) tasks.run('application health', health.run(stopped.signal));
      const subscribe = await subscriptionsOf(options, { identity, dns, health });
      parts.push(await startAdsProxy({ access, socketPath: adsSocketPath, subscribe, log: log.scope('xds') }));
      statusServer = await startStatusServer({
        ...(isWildcard(settings.addresses.listen) ? {} : { host: settings.addresses.listen }),
        port: proxyConfig.statusPort,
        readiness,
        scrape: createScrape(settings, createAgentMetrics({ identity, clock, dns })),
        probes: createProbes(settings, log),
        onQuit: () => quit.resolve({ code: 0, reason: 'asked to quit' }),
        onDrain: () => drain.begin(),
        nameTable: dns === undefined ? undefined : dns.table,
        log: log.scope('status'),
      });
      parts.push(statusServer);
      await writeBootstraps(options, bootstrapPath, adsSocketPath, statusServer.port);
      parts.push(dataPlane);
      await dataPlane.start();
    },
    drain: () => drain.finish(),
    async [Symbol.asyncDispose]() {
      stopped.abort();
      await disposeAll(parts, (message) => log.warn(message));
      await tasks.settled();
    },
  };
}

/** What the agent itself asks for on its proxy's stream. */
async function subscriptionsOf(
  { settings, log }: AgentOptions,
  {
    identity,
    dns,
    health,
  }: {
    readonly identity: AnchoredIdentity;
    readonly dns: AgentDns | undefined;
    readonly health: ApplicationHealth | undefined;
  },
): Promise<SubscribeStream | undefined> {
  if (dns === undefined && health === undefined && !settings.takesTrustAnchors) return undefined;
  // The types of discovery are worth megabytes: an agent that asks for nothing does not need them.
  const { joinSubscribers } = await import('./xds-proxy/stream-subscription.ts');
  const { createTrustAnchorSubscriber } = await import('./xds-proxy/trust-anchor-subscription.ts');
  const { createHealthReporter } = await import('./xds-proxy/health-report.ts');
  const takeAnchors = createTrustAnchorSubscriber((pems) => {
    log.scope('ca').debug('Trust anchors pushed', { count: pems.length });
    identity.setAnchors(pems);
  });
  return joinSubscribers([
    ...(dns === undefined ? [] : [dns.subscribe]),
    ...(settings.takesTrustAnchors ? [takeAnchors] : []),
    ...(health === undefined ? [] : [createHealthReporter(health)]),
  ]);
}

/** As the pod's own account. */
async function connectToApiServer(env: AgentSettings['env']): Promise<KubeClient> {
  const { createKubeClient, inClusterAccess } = await import('@meltemi/kube');
  const access = await inClusterAccess({ host: env['KUBERNETES_SERVICE_HOST'], port: env['KUBERNETES_SERVICE_PORT'] });
  return createKubeClient({ access, userAgent: 'meltemi-agent' });
}

function accessTo({ settings, clock }: AgentOptions, service: 'xds' | 'ca'): ControlPlaneAccess {
  const { paths, clusterId, addresses, env, controlPlaneSan, headers } = settings;
  const named = namedCertificates({ env, root: paths.root });
  const provisioned = env['PROV_CERT'] ? certificatesIn(join(paths.root, env['PROV_CERT'])) : undefined;
  return {
    address: service === 'xds' ? settings.discoveryAddress : settings.caAddress,
    nameServer: addresses.nameServer,
    rootCertificatePath: resolveRootPath(env, service, { mounted: paths.rootCertificate, named }),
    tokenPath: paths.token,
    certificate: provisioned ?? (service === 'xds' ? named : undefined),
    clock,
    clusterId,
    serverName: controlPlaneSan,
    headers: headers[service],
  };
}

function createIdentity(options: AgentOptions): WorkloadIdentity {
  const { settings, clock, random, log } = options;
  const { trustDomain, namespace, serviceAccount, env, paths, fileDebounceMs } = settings;
  const mounted = findMountedCertificates({ env, root: paths.root });
  if (mounted !== undefined)
    return createMountedIdentity({ paths: mounted, clock, log: log.scope('ca'), debounceMs: fileDebounceMs });
  return createWorkloadIdentity({
    ca: createCaClient({ access: accessTo(options, 'ca'), clock, random }),
    spiffeUri: `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`,
    clock,
    random,
    log: log.scope('ca'),
    ttlMs: settings.secretTtlMs,
    graceRatio: settings.graceRatio,
    graceJitterRatio: settings.graceJitterRatio,
    keyType: settings.keyType,
  });
}

function withProxy(options: AgentOptions, bootstrapPath: string, missingNames: () => string | undefined): SidecarParts {
  const { proxyConfig, addresses, dns } = options.settings;
  const readiness = createReadiness({
    adminHost: addresses.local,
    adminPort: proxyConfig.adminPort,
    conditions: dns === undefined ? [] : [missingNames],
  });
  const drain = createDrain(drainOptions(options), () => readiness.terminate());
  return { dataPlane: createDataPlane(options, bootstrapPath), readiness, drain };
}

function createDataPlane({ settings, log, logLevels }: AgentOptions, bootstrapPath: string): DataPlane {
  const { proxyConfig, proxyBinary, soMark, logLevel, componentLogLevel } = settings;
  const { drainDurationMs } = proxyConfig;
  const overlayText = (): Promise<string | undefined> => readBootstrapOverride(settings);
  const { concurrency } = settings;
  const shared = { bootstrapPath, overlayText, concurrency, drainDurationMs, logLevel, componentLogLevel };
  return proxyBinary === undefined
    ? createEmbeddedProxy({ ...shared, log: log.scope('proxy'), logLevels, soMark })
    : createEnvoyProcess({
        ...shared,
        log,
        binaryPath: proxyBinary,
        instanceIps: settings.instanceIps,
        logsAsJson: settings.logsAsJson,
      });
}

/** @throws MeltemiError `USAGE` when the file that the pod names is not there. */
async function readBootstrapOverride({ bootstrapOverride, env }: AgentSettings): Promise<string | undefined> {
  if (bootstrapOverride === undefined) return undefined;
  try {
    return (await readFile(bootstrapOverride, 'utf8')).replaceAll('$(HOST_IP)', env['HOST_IP'] ?? '');
  } catch (cause) {
    throw new MeltemiError('USAGE', `Cannot read ISTIO_BOOTSTRAP_OVERRIDE: ${messageOf(cause)}`, { cause });
  }
}

/** Writes what the proxy starts with, or what gRPC libraries do. */
async function writeBootstraps(
  { settings, log }: AgentOptions,
  path: string,
  adsSocketPath: string,
  agentPort: number,
): Promise<void> {
  const { proxyConfig, prometheusPort, readinessPort, instanceIps, exitOnZeroConnections, grpcBootstrapPath } =
    settings;
  const podInfo = await readPodInfo(settings.paths.podInfo);
  const node = buildNode({
    type: settings.nodeType,
    env: settings.env,
    podInfo,
    domain: settings.domain,
    serviceCluster: settings.serviceCluster,
    instanceIps,
    applicationAddress: settings.addresses.application,
    proxyConfig: proxyConfig.document,
    prometheusPort,
    statusPort: readinessPort,
  });
  if (grpcBootstrapPath !== undefined) {
    const certificateDirectory = settings.certificateOutput?.directory;
    await writeDocument(grpcBootstrapPath, buildGrpcBootstrap({ node, adsSocketPath, certificateDirectory }));
  }
  if (!settings.runsProxy || proxyConfig.customConfigFile !== undefined) return;
  const told = { annotations: podInfo.annotations, proxyConfig: proxyConfig.document };
  const stats = buildStatsSettings({
    ...told,
    instanceIps,
    exitsOnZeroConnections: exitOnZeroConnections,
    isRegexp: await createRegexpCheck(ownRegexps(told)),
  });
  for (const warning of stats.warnings) log.warn('Cannot follow an annotation of the pod', { warning });
  const bootstrap = buildBootstrap({
    node,
    stats,
    adminPort: proxyConfig.adminPort,
    agentPort,
    prometheusPort,
    readinessPort,
    sdsSocketPath: settings.paths.sdsSocket,
    adsSocketPath,
    deltaDiscovery: settings.deltaDiscovery,
    soMark: settings.soMark,
    outlierLogPath: settings.outlierLogPath,
    listenAddress: settings.addresses.listen,
    isDualStack: settings.addresses.isDualStack,
    localAddress: settings.addresses.local,
  });
  await writeDocument(path, bootstrap);
}

async function writeDocument(path: string, document: object): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, JSON.stringify(document, undefined, 2));
}

async function createRegexpCheck(patterns: readonly string[]): Promise<(pattern: string) => boolean> {
  if (patterns.length === 0) return () => true;
  // Loaded here: few pods have patterns, and it is not free.
  const { RE2JS } = await import('re2js');
  return (pattern) => {
    try {
      RE2JS.compile(pattern);
      return true;
    } catch {
      return false;
    }
  };
}

function drainOptions({ settings, clock, log }: AgentOptions): DrainOptions {
  const { proxyConfig, addresses, prometheusPort, readinessPort } = settings;
  return {
    adminHost: addresses.local,
    adminPort: proxyConfig.adminPort,
    isSidecar: settings.nodeType === 'sidecar',
    terminationDrainMs: proxyConfig.terminationDrainDurationMs,
    exitsOnZeroConnections: settings.exitOnZeroConnections,
    minimumDrainMs: settings.minimumDrainDurationMs,
    ownPorts: [proxyConfig.adminPort, prometheusPort, readinessPort],
    clock,
    log,
  };
}

function createScrape(settings: AgentSettings, agentMetrics: () => string): ReturnType<typeof createMetricsMerger> {
  // A gateway has no application beside it.
  const applications =
    settings.nodeType === 'sidecar' ? readScrapeTargets(settings.env['ISTIO_PROMETHEUS_ANNOTATIONS']) : [];
  const { local, application: applicationHost = local } = settings.addresses;
  const hosts = { proxy: local, application: applicationHost };
  return createMetricsMerger({
    agentMetrics,
    hosts,
    proxyPort: settings.runsProxy && settings.mergesProxyMetrics ? settings.prometheusPort : undefined,
    applications,
  });
}

/** Where kubelets ask, ProxyConfig has no probe. */
function createHealth({ settings, clock, log }: AgentOptions, readiness: Readiness): ApplicationHealth | undefined {
  const probe = settings.proxyConfig.readinessProbe;
  if (probe === undefined) return undefined;
  return createApplicationHealth({
    probe,
    podIp: applicationAddressOf(settings),
    readiness,
    clock,
    log: log.scope('health'),
  });
}

function applicationAddressOf({ addresses, instanceIps }: AgentSettings): string {
  return addresses.application ?? instanceIps[0] ?? '127.0.0.1';
}

function createProbes(settings: AgentSettings, log: Log): ReturnType<typeof createApplicationProbes> {
  const probes = parseApplicationProbes(settings.env['ISTIO_KUBE_APP_PROBERS']);
  if (!probes.ok) throw new MeltemiError('USAGE', `Cannot read the probes of the pod: ${probes.error}`);
  if (probes.value.size > 0) log.info('Probing on behalf of the kubelet', { probes: [...probes.value.keys()] });
  return createApplicationProbes(probes.value, applicationAddressOf(settings));
}
