import type { Clock } from '@meltemi/base';
import type { ConfigStore, MeshConfigSource } from '@meltemi/galley';
import type { PushEngine } from '@meltemi/pilot';
import type { RemoteClusterInfo } from '@meltemi/registry';
import { parseDistributionQuery, waitForChange } from '../distribution.ts';
import { type HttpAnswer, jsonAnswer, textAnswer } from '../servers/http-listener.ts';
import type { HttpPage } from '../servers/http-server.ts';
import { describeConfigs, describeEndpoints, describeServices } from './mesh-dump.ts';
import { dumpProxy } from './proxy-dump.ts';
import { describeSync } from './sync-status.ts';

/** What the pages look at. */
export interface DebugSources {
  readonly localClusterId: string;
  readonly engine: PushEngine;
  readonly clock: Clock;
  readonly store: ConfigStore;
  readonly meshConfig: Pick<MeshConfigSource, 'current' | 'problems'>;
  readonly remoteClusters: () => readonly RemoteClusterInfo[];
  /** Clusters that workloads say to be of and that are not followed. */
  readonly unknownClusters: () => readonly string[];
  /** Whether everything that the control plane needs at start has been read. */
  readonly isReady: () => boolean;
  /** Rights that are missing, in words. */
  readonly missingRights: () => readonly string[];
}

/** Readiness, and the debug pages by path. */
export function createDebugPages(sources: DebugSources): ReadonlyMap<string, HttpPage> {
  const { engine, store, meshConfig } = sources;
  const statuses = (): ReturnType<typeof describeSync> => describeSync(engine.server.statuses());
  return new Map<string, HttpPage>([
    ['/ready', () => readiness(sources)],
    ['/debug/syncz', () => jsonAnswer(statuses())],
    ['/debug/adsz', () => jsonAnswer(describeStreams(engine))],
    ['/debug/clusterz', () => jsonAnswer(describeClusters(sources))],
    ['/debug/configz', () => jsonAnswer(describeConfigs(store))],
    ['/debug/mesh', () => jsonAnswer({ config: meshConfig.current(), problems: meshConfig.problems() })],
    ['/debug/registryz', () => jsonAnswer(describeServices(engine.snapshot()))],
    ['/debug/endpointz', () => jsonAnswer(describeEndpoints(engine.snapshot()))],
    [
      '/debug/push_status',
      () => jsonAnswer({ version: engine.snapshot()?.version, number: engine.snapshot()?.number }),
    ],
    ['/debug/config_dump', (query) => configDump(query, engine)],
    ['/debug/distribution', (query, signal) => distribution(query, sources, signal)],
  ]);
}

/** One row of `/debug/clusterz`. */
type ClusterRow = Omit<RemoteClusterInfo, 'syncStatus'> & {
  /** `unknown`: workloads say that they are of it, and no remote secret names it. */
  readonly syncStatus: RemoteClusterInfo['syncStatus'] | 'unknown';
};

/** The own cluster, those that are followed or refused, and those that only workloads speak of. */
function describeClusters({
  localClusterId,
  isReady,
  remoteClusters,
  unknownClusters,
}: DebugSources): readonly ClusterRow[] {
  const nothing = { secretName: '', server: '' };
  return [
    { ...nothing, id: localClusterId, syncStatus: isReady() ? 'synced' : 'syncing' },
    ...remoteClusters(),
    ...unknownClusters().map(
      (id): ClusterRow => ({
        ...nothing,
        id,
        syncStatus: 'unknown',
        lastError:
          'workloads that say they are of this cluster are turned away: no remote secret has a key of this name',
      }),
    ),
  ];
}

/** What keeps a control plane from its start is said to whoever looks at the probe's answer. */
function readiness({ isReady, missingRights }: DebugSources): HttpAnswer {
  if (isReady()) return textAnswer('');
  const lines = ['still reading its sources', ...missingRights().map((right) => `missing permission: ${right}`)];
  return textAnswer(`${lines.join('\n')}\n`, 503);
}

function describeStreams(engine: PushEngine): unknown {
  return engine.server.statuses().map(({ client, subscriptions, ...status }) => ({
    connection: client.connectionId,
    proxy: client.node.proxyId,
    cluster: client.node.clusterId,
    identity: client.identity,
    metadata: client.node.metadata,
    ...status,
    subscriptions: subscriptions.map((subscription) => ({
      ...subscription,
      resources: Object.fromEntries(subscription.resources),
    })),
  }));
}

function configDump(query: URLSearchParams, engine: PushEngine): HttpAnswer {
  const proxyId = query.get('proxyID') ?? '';
  const dump = dumpProxy(proxyId, engine.server.statuses(), engine.snapshot());
  if (dump !== undefined) return jsonAnswer(dump);
  const connected = engine.server.statuses().map(({ client }) => client.node.proxyId);
  return jsonAnswer({ error: `no proxy "${proxyId}" is connected`, connected }, 404);
}

async function distribution(
  query: URLSearchParams,
  { engine, store, clock }: DebugSources,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const question = parseDistributionQuery(query);
  if (!question.ok) return jsonAnswer({ ok: false, lagging: [], error: question.error }, 400);
  return jsonAnswer(await waitForChange(question.value, { engine, store, clock, signal }));
}
