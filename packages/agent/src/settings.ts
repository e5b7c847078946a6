import { isIPv6 } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { MeltemiError, parseDurationMs } from '@meltemi/base';
import type { AgentProxyConfig } from './bootstrap/proxy-config.ts';
import type { CertificateOutput } from './identity/certificate-files.ts';
import type { WorkloadKeyType } from './identity/workload-identity.ts';

/** Everything an agent is told by its environment and command line, read once. */
export interface AgentSettings {
  readonly nodeType: string;
  readonly domain: string;
  readonly serviceCluster: string;
  readonly logLevel: string;
  readonly componentLogLevel: string;
  readonly logsAsJson: boolean;
  /** File for ejections of hosts; `undefined` for none. */
  readonly outlierLogPath: string | undefined;
  readonly proxyConfig: AgentProxyConfig;
  /** Worker threads of the proxy; `undefined` leaves the choice to it. */
  readonly concurrency: number | undefined;
  /** File with YAML that is laid over the bootstrap; `undefined` without one. */
  readonly bootstrapOverride: string | undefined;
  /** The control plane's name in its certificate, where it is not the one that is called. */
  readonly controlPlaneSan: string | undefined;
  /** Metadata of every discovery stream and of every signing call, besides the credentials. */
  readonly headers: { readonly xds: CallHeaders; readonly ca: CallHeaders };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly caAddress: string;
  readonly discoveryAddress: string;
  readonly clusterId: string;
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly instanceIps: readonly string[];
  readonly secretTtlMs: number;
  readonly graceRatio: number;
  readonly graceJitterRatio: number;
  readonly keyType: WorkloadKeyType;
  readonly deltaDiscovery: boolean;
  /** Without it the agent only keeps identity and discovery for applications that speak xDS, or use certificates, themselves. */
  readonly runsProxy: boolean;
  /** Where the certificate is written for others in the pod; `undefined` for nowhere. */
  readonly certificateOutput: CertificateOutput | undefined;
  /** A change of certificate files is looked at after this time of rest. */
  readonly fileDebounceMs: number;
  /** The workload's certificate is served on a socket of this name by somebody else: the default one may be, others have to. */
  readonly isSdsSocketNamed: boolean;
  /** The control plane may push roots by which peers are checked, too. */
  readonly takesTrustAnchors: boolean;
  /** Where the bootstrap of gRPC libraries is written; `undefined` for nowhere. */
  readonly grpcBootstrapPath: string | undefined;
  /** Envoy's executable; `undefined` for our own proxy. */
  readonly proxyBinary: string | undefined;
  readonly soMark: number | undefined;
  readonly addresses: AgentAddresses;
  readonly prometheusPort: number;
  readonly readinessPort: number;
  readonly exitOnZeroConnections: boolean;
  readonly minimumDrainDurationMs: number;
  /** Whether a scrape of the agent's port also returns the proxy's metrics. */
  readonly mergesProxyMetrics: boolean;
  /** Answering the pod's DNS queries; `undefined` when they are not captured. */
  readonly dns: DnsSettings | undefined;
  readonly paths: AgentPaths;
}

/** Lower-case names and their values. */
export type CallHeaders = Readonly<Record<string, string>>;

/** How the agent answers DNS queries. */
export interface DnsSettings {
  /** `localhost` for the loopback addresses of the families of the pod's name servers. */
  readonly host: string;
  readonly port: number;
  /** For one query, however many servers there are. */
  readonly forwardTimeoutMs: number;
  readonly forwardsParallel: boolean;
}

/** Where an agent and its proxy listen, and whom they call by address. */
export interface AgentAddresses {
  /** What kubelets and Prometheus call. */
  readonly listen: string;
  /** Whether `listen` takes IPv4 connections besides those of its own family. */
  readonly isDualStack: boolean;
  /** What only the pod itself calls. */
  readonly local: string;
  /** Where the application listens; `undefined` for the pod's own address. */
  readonly application: string | undefined;
  /** `address:port` of the name server to ask for the control plane; `undefined` for the system's. */
  readonly nameServer: string | undefined;
}

/** Whether an address stands for all that the pod has. */
export function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

/** Where an agent finds and puts files. */
export interface AgentPaths {
  /** What paths of settings are below. */
  readonly root: string;
  /** Roots that the control plane's certificate has to chain to; `SYSTEM` for those of the operating system. */
  readonly rootCertificate: string;
  /** Certificate revocation lists; need not be there. */
  readonly revocationLists: string;
  readonly token: string;
  readonly sdsSocket: string;
  readonly podInfo: string;
  /** Names the servers to pass queries on to. */
  readonly resolvConf: string;
}

/** The mounts of an injected pod. */
export const POD_PATHS: AgentPaths = {
  root: '/',
  rootCertificate: '/var/run/secrets/istio/root-cert.pem',
  revocationLists: '/var/run/secrets/istio/crl/ca-crl.pem',
  token: '/var/run/secrets/tokens/istio-token',
  sdsSocket: '/var/run/secrets/workload-spiffe-uds/socket',
  podInfo: '/etc/istio/pod',
  resolvConf: '/etc/resolv.conf',
};

/** The flags of `proxy`, those that existing manifests pass. */
export interface ProxyFlags {
  readonly nodeType: string;
  readonly domain: string | undefined;
  readonly serviceCluster: string | undefined;
  readonly proxyLogLevel: string | undefined;
  readonly proxyComponentLogLevel: string | undefined;
  readonly concurrency: number | undefined;
  readonly logsAsJson?: boolean;
  readonly outlierLogPath?: string | undefined;
}

/** The same below another root: where containers have no root of their own, it is a folder that their environment names. */
export function pathsBelow(root: string, paths: AgentPaths): AgentPaths {
  return {
    root,
    rootCertificate: join(root, paths.rootCertificate),
    revocationLists: join(root, paths.revocationLists),
    token: join(root, paths.token),
    sdsSocket: join(root, paths.sdsSocket),
    podInfo: join(root, paths.podInfo),
    resolvConf: join(root, paths.resolvConf),
  };
}

/** What settings are read from. */
export interface SettingsInput {
  readonly flags: ProxyFlags;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly proxyConfig: AgentProxyConfig;
  /** Addresses of the network interfaces, without loopback. */
  readonly interfaceIps: readonly string[];
  readonly paths: AgentPaths;
}

/**
 * Puts flags, environment and ProxyConfig together.
 *
 * @throws MeltemiError `USAGE`, naming the variable and what it takes.
 */
export function readSettings({
  flags,
  env: processEnv,
  proxyConfig,
  interfaceIps,
  paths,
}: SettingsInput): AgentSettings {
  // What ProxyConfig says about a pod is as good as its environment, which wins.
  const env = { ...proxyConfig.proxyMetadata, ...processEnv };
  const namespace = env['POD_NAMESPACE'] ?? 'default';
  const instanceIp = env['INSTANCE_IP'];
  const binary = env['MELTEMI_PROXY_BINARY'] || proxyConfig.binaryPath;
  // Pods that share the machine's network share its addresses too: those name none of them.
  const interfaceIpsOfPod = env['MELTEMI_POD_ADDRESS'] === undefined ? interfaceIps : [];
  const instanceIps = [...new Set([...(instanceIp === undefined ? [] : [instanceIp]), ...interfaceIpsOfPod])];
  const sdsSocket = readSdsSocket(env, paths.sdsSocket);
  return {
    nodeType: flags.nodeType,
    domain: flags.domain || `${namespace}.svc.cluster.local`,
    serviceCluster: flags.serviceCluster ?? 'istio-proxy',
    ...readLogLevels(flags),
    logsAsJson: flags.logsAsJson ?? false,
    outlierLogPath: flags.outlierLogPath,
    proxyConfig,
    concurrency: readConcurrency(flags, proxyConfig, env),
    bootstrapOverride: env['ISTIO_BOOTSTRAP_OVERRIDE'] || undefined,
    controlPlaneSan: env['ISTIOD_SAN'] || undefined,
    headers: { xds: readHeaders(env, 'XDS_HEADER_'), ca: readHeaders(env, 'CA_HEADER_') },
    env,
    caAddress: env['CA_ADDR'] || proxyConfig.discoveryAddress,
    discoveryAddress: proxyConfig.discoveryAddress,
    clusterId: env['ISTIO_META_CLUSTER_ID'] ?? 'Kubernetes',
    trustDomain: env['TRUST_DOMAIN'] || 'cluster.local',
    namespace,
    serviceAccount: env['SERVICE_ACCOUNT'] ?? 'default',
    instanceIps,
    secretTtlMs: readDuration(env, 'SECRET_TTL', '24h'),
    graceRatio: readRatio(env, 'SECRET_GRACE_PERIOD_RATIO', 0.5),
    graceJitterRatio: readRatio(env, 'SECRET_GRACE_PERIOD_RATIO_JITTER', 0.01),
    keyType: env['WORKLOAD_RSA_KEY_SIZE'] === undefined ? 'ec-p256' : 'rsa-2048',
    deltaDiscovery: env['ISTIO_DELTA_XDS'] !== 'false',
    runsProxy: env['DISABLE_ENVOY'] !== 'true',
    certificateOutput: readCertificateOutput(env, paths.root),
    fileDebounceMs: readDuration(env, 'FILE_DEBOUNCE_DURATION', '100ms'),
    isSdsSocketNamed: sdsSocket !== paths.sdsSocket,
    takesTrustAnchors: env['PROXY_CONFIG_XDS_AGENT'] === 'true',
    grpcBootstrapPath: readGrpcBootstrapPath(env, proxyConfig, paths.root),
    proxyBinary: binary,
    soMark: readSoMark(env['MELTEMI_SO_MARK']),
    addresses: readAddresses(env, instanceIps),
    prometheusPort: readPort(env, 'ENVOY_PROMETHEUS_PORT', 15_090),
    readinessPort: readPort(env, 'ENVOY_STATUS_PORT', 15_021),
    exitOnZeroConnections: env['EXIT_ON_ZERO_ACTIVE_CONNECTIONS'] === 'true',
    minimumDrainDurationMs: readDuration(env, 'MINIMUM_DRAIN_DURATION', '5s'),
    mergesProxyMetrics: env['PILOT_AGENT_MERGE_ENVOY_STATS'] !== 'false',
    dns: readDns(env, flags.nodeType),
    paths: { ...paths, sdsSocket },
  };
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The directory is where pods mount the volume of a SPIFFE agent, so that only the name can be another. */
function readSdsSocket(env: Environment, path: string): string {
  const name = env['WORKLOAD_IDENTITY_SOCKET_FILE'];
  if (!name) return path;
  if (name === basename(name)) return join(dirname(path), name);
  const message = `Cannot read the environment variable WORKLOAD_IDENTITY_SOCKET_FILE: "${name}" is not the name of a file`;
  throw new MeltemiError('USAGE', message);
}

/** In Kubernetes the folder is shared with containers of other users, and with nobody else. */
function readCertificateOutput(env: Environment, root: string): CertificateOutput | undefined {
  const directory = env['OUTPUT_CERTS'];
  if (!directory) return undefined;
  return { directory: join(root, directory), mode: env['KUBERNETES_SERVICE_HOST'] === undefined ? 0o600 : 0o644 };
}

function readGrpcBootstrapPath(env: Environment, { configPath }: AgentProxyConfig, root: string): string | undefined {
  const path = env['GRPC_XDS_BOOTSTRAP'];
  if (path) return join(root, path);
  return env['DISABLE_ENVOY'] === 'true' ? join(configPath, 'grpc-bootstrap.json') : undefined;
}

/**
 * A pod in the `loopback` sandbox has two addresses of its own in the machine's network, and must use no other. Elsewhere the
 * families of the pod's addresses decide, as in Istio: kubelets call the primary one, and IPv4 may be switched off.
 */
function readAddresses(env: Environment, instanceIps: readonly string[]): AgentAddresses {
  const pod = env['MELTEMI_POD_ADDRESS'];
  const hasV6 = instanceIps.some((address) => isIPv6(address));
  const hasV4 = !hasV6 || instanceIps.some((address) => !isIPv6(address));
  return {
    listen: pod ?? (hasV6 ? '::' : '0.0.0.0'),
    isDualStack: pod === undefined && hasV4 && hasV6,
    local: pod ?? (hasV4 ? '127.0.0.1' : '::1'),
    application: env['MELTEMI_APP_ADDRESS'],
    nameServer: env['MELTEMI_NAME_SERVER'],
  };
}

/** Istio takes `info,misc:error` for the one level and the levels of components. */
function readLogLevels({ proxyLogLevel = 'warning', proxyComponentLogLevel }: ProxyFlags) {
  const parts = proxyLogLevel.split(',').filter((part) => part !== '');
  const components = parts.filter((part) => part.includes(':'));
  return {
    logLevel: parts.find((part) => !part.includes(':')) ?? 'warning',
    componentLogLevel: proxyComponentLogLevel ?? (components.length > 0 ? components.join(',') : 'misc:error'),
  };
}

/** As many workers as the container may use processors, unless somebody says otherwise; 0 is one for each there is. */
function readConcurrency(flags: ProxyFlags, proxyConfig: AgentProxyConfig, env: Environment): number | undefined {
  const limit = Number(env['ISTIO_CPU_LIMIT']);
  const workers = flags.concurrency ?? proxyConfig.concurrency ?? (limit > 0 ? Math.ceil(limit) : undefined);
  return workers === 0 ? undefined : workers;
}

/** `XDS_HEADER_X_TEAM=a` becomes `x_team: a`, as in Istio: names of variables have no dashes. */
function readHeaders(env: Environment, prefix: string): CallHeaders {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      name.startsWith(prefix) && value !== undefined ? [[name.slice(prefix.length).toLowerCase(), value]] : [],
    ),
  );
}

/** Sidecars only, as in Istio: a gateway has no application whose queries could be captured. */
function readDns(env: Environment, nodeType: string): DnsSettings | undefined {
  if (nodeType !== 'sidecar') return undefined;
  const isWanted = env['ISTIO_META_DNS_CAPTURE'] === 'true' || env['ISTIO_META_ENABLE_DNS_SERVER'] === 'true';
  // Pods that share the machine's network share its loopback port, too, and nothing is captured for any of them.
  if (!isWanted || env['MELTEMI_POD_ADDRESS'] !== undefined) return undefined;
  const address = env['DNS_PROXY_ADDR'] || 'localhost:15053';
  const [, host = '', port = ''] = /^\[?([^\]]*?)\]?:(\d+)$/.exec(address) ?? [];
  if (host === '' || Number(port) > 65_535) {
    throw new MeltemiError(
      'USAGE',
      `Cannot read the environment variable DNS_PROXY_ADDR: "${address}" is not host:port`,
    );
  }
  return {
    host,
    port: Number(port),
    forwardTimeoutMs: readDuration(env, 'DNS_FORWARD_TIMEOUT', '5s'),
    forwardsParallel: env['DNS_FORWARD_PARALLEL'] === 'true',
  };
}

function readDuration(env: Environment, name: string, fallback: string): number {
  const duration = parseDurationMs(env[name] || fallback);
  if (duration.ok) return duration.value;
  throw new MeltemiError('USAGE', `Cannot read the environment variable ${name}: ${duration.error}`);
}

function readRatio(env: Environment, name: string, fallback: number): number {
  const text = env[name] || String(fallback);
  const ratio = Number(text);
  if (ratio >= 0 && ratio <= 1) return ratio;
  throw new MeltemiError('USAGE', `Cannot read the environment variable ${name}: "${text}" is not a ratio from 0 to 1`);
}

function readPort(env: Environment, name: string, fallback: number): number {
  const text = env[name] || String(fallback);
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new MeltemiError('USAGE', `Cannot read the environment variable ${name}: "${text}" is not a port`);
}

function readSoMark(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const mark = Number(text);
  if (Number.isInteger(mark) && mark > 0) return mark;
  throw new MeltemiError(
    'USAGE',
    `Cannot read the environment variable MELTEMI_SO_MARK: "${text}" is not a positive number`,
  );
}
