import type { Clock } from '@meltemi/base';
import type { ConfigStore, MeshConfigSource } from '@meltemi/galley';
import type { InjectorConfig } from '@meltemi/injector';
import type { MeshSnapshot } from '@meltemi/model';
import { endpointsToJson, nameTableToJson, type ProxyTranslation, type PushEngine } from '@meltemi/pilot';
import type { RemoteClusterInfo } from '@meltemi/registry';
import type { DiscoveryStreamStatus } from '@meltemi/xds/server';
import { parseDistributionQuery, waitForChange } from '../distribution.ts';
import type { DebugAnswer, DebugPage, DebugQuestion } from './debug-page.ts';
import { describeConfigs, describeEndpoints, describeNetworks, describeServices } from './mesh-dump.ts';
import { describeInstances, dumpProxy, translateFor } from './proxy-dump.ts';
import { describeConnections, describeStreams, describeSubscriptions, describeSync } from './stream-dump.ts';

/** What the pages look at. */
export interface DebugSources {
  readonly localClusterId: string;
  readonly engine: PushEngine;
  readonly clock: Clock;
  readonly store: ConfigStore;
  readonly meshConfig: Pick<MeshConfigSource, 'current' | 'networks' | 'problems'>;
  readonly injector: { current(): InjectorConfig };
  readonly remoteClusters: () => readonly RemoteClusterInfo[];
  /** Clusters that workloads say to be of and that are not followed. */
  readonly unknownClusters: () => readonly string[];
}

/** Every debug page by name; where Istio has a page for the same, by its name. */
export function createDebugPages(sources: DebugSources): ReadonlyMap<string, DebugPage> {
  return new Map([...meshPages(sources), ...streamPages(sources), ...proxyPages(sources)]);
}

type Pages = readonly (readonly [name: string, page: DebugPage])[];

/** What the control plane knows. */
function meshPages(sources: DebugSources): Pages {
  const { engine, store, meshConfig, injector } = sources;
  const snapshot = (): MeshSnapshot | undefined => engine.snapshot();
  return [
    ['registryz', page('The services of all clusters', (query) => describeServices(snapshot(), of(query)))],
    ['endpointz', page('The endpoints of each service', (query) => describeEndpoints(snapshot(), of(query)))],
    ['endpointShardz', page('The same as endpointz', (query) => describeEndpoints(snapshot(), of(query)))],
    ['configz', page('Configuration in force, and what was not taken', (query) => describeConfigs(store, of(query)))],
    ['mesh', page('MeshConfig and MeshNetworks', () => describeMesh(meshConfig))],
    ['inject', page('What sidecars are made by', () => describeInjection(injector.current()))],
    ['clusterz', page('The clusters, and whether each has been read', () => describeClusters(sources))],
    ['networkz', page('The networks, and the gateways into them', () => describeNetworks(snapshot()))],
    ['push_status', page('The newest snapshot', () => ({ version: snapshot()?.version, number: snapshot()?.number }))],
    [
      'distribution',
      {
        help: 'Waits until all proxies have a change: ?timeout=10s&resource=<kind>/<namespace>/<name>&resourceVersion=',
        answer: ({ query, signal }) => distribution(query, sources, signal),
      },
    ],
  ];
}

/** What is known of connected proxies. */
function streamPages({ engine }: DebugSources): Pages {
  const statuses = (query: URLSearchParams): readonly DiscoveryStreamStatus[] => {
    const isWanted = of(query);
    return engine.server.statuses().filter(({ client }) => isWanted(client.node));
  };
  return [
    ['syncz', page('Whether each proxy has what it was sent', (query) => describeSync(statuses(query)))],
    ['adsz', page('Streams, with everything that each was sent', (query) => describeStreams(statuses(query)))],
    ['connections', page('Streams, where from and since when', (query) => describeConnections(statuses(query)))],
    ['resourcesz', page('What each proxy asks for, by type', (query) => describeSubscriptions(statuses(query)))],
    [
      'instancesz',
      page('The services that each proxy is behind', (query) => describeInstances(statuses(query), engine.snapshot())),
    ],
  ];
}

/** What one proxy is to have. */
function proxyPages({ engine }: DebugSources): Pages {
  const about = (help: string, describe: (translation: ProxyTranslation) => unknown): DebugPage => ({
    help: `${help} of ?proxyID=<pod>.<namespace>`,
    isAboutProxy: true,
    answer: (question) => answerAboutProxy(question, engine, describe),
  });
  return [
    ['config_dump', about('The resources, with what each was made from,', dumpProxy)],
    ['edsz', about('The endpoints', endpointsToJson)],
    ['ndsz', about('The names that its agent answers', nameTableToJson)],
  ];
}

function page(help: string, describe: (query: URLSearchParams) => unknown): DebugPage {
  return { help, answer: ({ query }) => ({ value: describe(query) }) };
}

/** Everything, or what is of `?namespace=`. */
function of(query: URLSearchParams): (object: { readonly namespace: string }) => boolean {
  const wanted = query.get('namespace');
  return ({ namespace }) => wanted === null || wanted === namespace;
}

function answerAboutProxy(
  { query, maySee }: DebugQuestion,
  engine: PushEngine,
  describe: (translation: ProxyTranslation) => unknown,
): DebugAnswer {
  const proxyId = query.get('proxyID') ?? '';
  const seen = engine.server.statuses().filter(({ client }) => maySee(client.node.namespace));
  const found = seen.find(({ client }) => client.node.proxyId === proxyId);
  const snapshot = engine.snapshot();
  if (found !== undefined && snapshot !== undefined) {
    return { value: describe(translateFor(found.client.node, snapshot)) };
  }
  // Whoever may not see a proxy is not told that there is one.
  const connected = seen.map(({ client }) => client.node.proxyId);
  return proxyId === ''
    ? { status: 400, value: { error: 'name the proxy with ?proxyID=<pod>.<namespace>', connected } }
    : { status: 404, value: { error: `no proxy "${proxyId}" is connected`, connected } };
}

function describeMesh(source: DebugSources['meshConfig']): unknown {
  return { config: source.current(), ...source.networks(), problems: source.problems() };
}

function describeInjection({ revision, policy, templates, values, ...config }: InjectorConfig): unknown {
  return {
    revision,
    policy,
    templates: [...templates.templates.keys()],
    aliases: templates.aliases,
    defaultTemplates: templates.defaults,
    neverInjectSelector: config.neverInjectSelectors,
    alwaysInjectSelector: config.alwaysInjectSelectors,
    values,
  };
}

/** One row of `clusterz`. */
type ClusterRow = Omit<RemoteClusterInfo, 'syncStatus'> & {
  /** `unknown`: workloads say that they are of it, and no remote secret names it. */
  readonly syncStatus: RemoteClusterInfo['syncStatus'] | 'unknown';
};

/** The own cluster, those that are followed or refused, and those that only workloads speak of. */
function describeClusters({
  localClusterId,
  engine,
  remoteClusters,
  unknownClusters,
}: DebugSources): readonly ClusterRow[] {
  const nothing = { secretName: '', server: '' };
  return [
    { ...nothing, id: localClusterId, syncStatus: engine.snapshot() !== undefined ? 'synced' : 'syncing' },
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

async function distribution(
  query: URLSearchParams,
  { engine, store, clock }: DebugSources,
  signal: AbortSignal,
): Promise<DebugAnswer> {
  const question = parseDistributionQuery(query);
  if (!question.ok) return { status: 400, value: { ok: false, lagging: [], error: question.error } };
  return { value: await waitForChange(question.value, { engine, store, clock, signal }) };
}
