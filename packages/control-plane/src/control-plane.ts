import { type Clock, createTaskOwner, disposeAll, type Log, messageOf, type Random, sleep } from '@meltemi/base';
import { createSecretStore } from '@meltemi/citadel';
import { type ClusterAccess, createKubeClient } from '@meltemi/kube';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { prepareClusters, USER_AGENT } from './assembly/clusters.ts';
import { readConfiguration } from './assembly/configuration.ts';
import { prepareDiscovery } from './assembly/discovery.ts';
import { enterElections } from './assembly/leaderships.ts';
import type { RunContext } from './assembly/run-context.ts';
import { type ServedParts, type ServerPorts, startHealthServer, startServers } from './assembly/servers.ts';
import { startStatuses } from './assembly/statuses.ts';
import { isDiscovered } from './discovery-selectors.ts';
import { runLocalDuties } from './duties/cluster-duties.ts';
import { createPermissions } from './duties/permissions.ts';
import { loadMeshCertificates, type MeshCertificates } from './mesh-certificates.ts';
import type { ControlPlaneSettings } from './options.ts';
import { tellRefusedRevocations } from './revocation-events.ts';

/** How long work that nobody waits for may take after the stop. */
const LAST_TASKS_MS = 2_000;

/** What a control plane is made of. */
export interface ControlPlaneOptions {
  readonly settings: ControlPlaneSettings;
  /** How to reach the API server of its own cluster. */
  readonly access: ClusterAccess;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Adds metrics of the process itself. Default false. */
  readonly processMetrics?: boolean;
}

/** A control plane that runs. */
export interface ControlPlane extends AsyncDisposable {
  readonly ports: ServerPorts;
  /** Resolves when the own cluster and every remote one that there was at start is read, or was given up on for now. */
  readonly ready: Promise<void>;
}

/**
 * Starts a control plane: configuration, discovery in all clusters, the certificate authority, the injector and the
 * servers. Resolves when the servers listen; `ready` follows when the sources are read.
 */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { settings, access, clock, random, log } = options;
  const stop = new AbortController();
  const parts: AsyncDisposable[] = [];
  const own = <Part extends AsyncDisposable>(part: Part): Part => {
    parts.push(part);
    return part;
  };
  const tasks = createTaskOwner((name, error) => log.error(`${name} failed`, { error: messageOf(error) }));
  const metrics = new Registry();
  if (options.processMetrics === true) collectDefaultMetrics({ register: metrics });
  const permissions = createPermissions({ settings, clock, log: log.scope('permissions'), tasks });
  const onMissingRight = permissions.observer(settings.clusterId);
  const client = own(createKubeClient({ access, clock, userAgent: USER_AGENT, onMissingRight }));
  permissions.tellBy(client);
  // Leases are released before the client goes; a task that hangs does not hold the stop for long.
  own({
    async [Symbol.asyncDispose]() {
      const patience = new AbortController();
      await Promise.race([tasks.settled(), sleep(clock, LAST_TASKS_MS, patience.signal)]);
      patience.abort();
    },
  });
  const run: RunContext = {
    settings,
    clock,
    random,
    log,
    metrics,
    client,
    permissions,
    signal: stop.signal,
    tasks,
    own,
  };
  const dispose = async (): Promise<void> => {
    stop.abort();
    await disposeAll(parts, (message) => log.warn(message));
    await tasks.settled();
  };
  try {
    return { ...(await assemble(run)), [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Builds the parts in the order of their dependencies, and starts the sources once everything that they feed is there. */
async function assemble(run: RunContext): Promise<Pick<ControlPlane, 'ports' | 'ready'>> {
  let isReady = false;
  let parts: ServedParts | undefined;
  const health = await startHealthServer(run, { isReady: () => isReady, parts: () => parts });
  const leaderships = enterElections(run);
  const configuration = await readConfiguration(run);
  const certificates = run.own(await loadCertificates(run, configuration.meshConfig.current().trustDomain));
  if (certificates.revocations !== undefined) tellRefusedRevocations(run, certificates.revocations);
  const { meshConfig } = configuration;
  const discoversNamespace = (labels: Readonly<Record<string, string>>): boolean =>
    isDiscovered(meshConfig.current(), labels);
  const selection = { discoversNamespace, onSelectionChange: meshConfig.onChange };
  const clusters = prepareClusters(run, {
    ...selection,
    trustDomain: () => configuration.meshConfig.current().trustDomain,
    roots: certificates.roots,
    revocations: certificates.revocations,
    leaderships,
  });
  const discovery = prepareDiscovery(run, configuration, clusters, certificates);
  startStatuses(run, { configuration, clusters, discovery, leaderships });
  parts = { configuration, clusters, discovery, certificates };
  const ports: ServerPorts = { ...(await startServers(run, parts)), http: health.port };
  const ready = readSources(run, parts).then(() => {
    isReady = true;
  });
  run.tasks.run('Reading the sources', ready);
  run.tasks.run('Looking after the own cluster', () => {
    const { client, clock, random, log, settings, signal } = run;
    const { clusterId, revision, namespace: systemNamespace } = settings;
    const { roots, revocations } = certificates;
    return runLocalDuties(
      {
        clusterId,
        client,
        revision,
        systemNamespace,
        roots,
        revocations,
        leaderships,
        ...selection,
        clock,
        random,
        log: log.scope('duties'),
        ready,
      },
      signal,
    );
  });
  return { ports, ready };
}

function loadCertificates(run: RunContext, trustDomain: string): Promise<MeshCertificates> {
  const { settings, client, clock, random, log } = run;
  const { caDirectory, namespace, revision, customHosts } = settings;
  return loadMeshCertificates({
    caDirectory,
    secrets: createSecretStore(client, namespace),
    trustDomain,
    namespace,
    revision,
    customHosts: customHosts.split(',').filter((host) => host !== ''),
    multiRoot: settings.multiRoot,
    takesRevocations: settings.takesRevocations,
    rotation: {
      checkIntervalMs: settings.rootCheckIntervalMs,
      gracePercent: settings.rootGracePercent,
      jitter: settings.rootCheckJitter,
    },
    clock,
    random,
    log: log.scope('citadel'),
  });
}

/** Reads everything once, takes the first snapshot, and lets proxies in. */
async function readSources(run: RunContext, { configuration, clusters, discovery }: ServedParts): Promise<void> {
  const { signal, log } = run;
  await Promise.all([configuration.source.start(signal), clusters.local.start(signal), clusters.remotes.start(signal)]);
  if (signal.aborted) return;
  discovery.engine.start();
  const version = discovery.engine.snapshot()?.version;
  log.info('Ready', { cluster: run.settings.clusterId, version, clusters: clusters.aggregate.clusterIds });
}
