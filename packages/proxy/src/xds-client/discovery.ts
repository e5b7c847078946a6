import type { Clock, Log, Random } from '@meltemi/base';
import {
  createDiscoveryClient,
  type DiscoveryClient,
  type DiscoveryTransport,
  deltaWire,
  type ResourceRejection,
  type ResourceUpdate,
  sotwWire,
  WILDCARD,
} from '@meltemi/xds/client';
import type { Node } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import type { ConfigProblem } from '../config/messages.ts';
import type { Configuration } from '../lifecycle/configuration.ts';
import type { MainStats } from '../lifecycle/main-stats.ts';
import { createResourceIntake } from './resource-intake.ts';
import { collectWantedNames, forgetUnwanted } from './subscriptions.ts';
import { TYPE_ORDER, TYPE_URLS } from './type-urls.ts';

/** Settings of {@link createDiscovery}. */
export interface DiscoveryOptions {
  readonly configuration: Configuration;
  readonly node: Node;
  /** The aggregated stream; absent when the bootstrap has no `ads_config`. */
  readonly ads: { readonly cluster: string; readonly isDelta: boolean } | undefined;
  /** Opens a channel to a cluster of the bootstrap. */
  readonly connect: (cluster: string) => DiscoveryTransport;
  /** Sends what changed to the workers; see `Publisher.publish`. */
  readonly publish: () => Promise<readonly ConfigProblem[]>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly stats: MainStats;
  /** A response was judged and its verdict is about to be sent. */
  readonly onJudged: (typeUrl: string) => void;
}

/** The proxy's discovery streams: one aggregated, and one for each secret discovery service. */
export interface Discovery {
  /** Opens the aggregated stream and asks for clusters. */
  start(): void;
  askForListeners(): void;
  /** Asks for what clusters and listeners refer to by now. */
  refreshSubscriptions(): void;
  isConnected(): boolean;
  /** What the control plane calls itself. */
  controlPlane(): string;
  close(): void;
}

const PROBLEM_TYPES: Readonly<Record<string, ConfigProblem['kind']>> = {
  [TYPE_URLS.cluster]: 'cluster',
  [TYPE_URLS.endpoints]: 'endpoints',
  [TYPE_URLS.listener]: 'listener',
  [TYPE_URLS.route]: 'route',
  [TYPE_URLS.secret]: 'secret',
};

/** Names of the counters of one type; per-resource types have a tree for each resource in Envoy, one for all here. */
const STAT_PREFIXES: Readonly<Record<string, string>> = {
  [TYPE_URLS.cluster]: 'cluster_manager.cds',
  [TYPE_URLS.endpoints]: 'cluster_manager.eds',
  [TYPE_URLS.listener]: 'listener_manager.lds',
  [TYPE_URLS.route]: 'listener_manager.rds',
  [TYPE_URLS.secret]: 'sds',
};

/** Creates the discovery streams; nothing is opened before {@link Discovery.start} or a first secret is wanted. */
export function createDiscovery(options: DiscoveryOptions): Discovery {
  const { configuration, clock, stats } = options;
  const intake = createResourceIntake(configuration, options.log.scope('upstream'));
  const secretClients = new Map<string, DiscoveryClient>();
  let controlPlane = '';

  const apply = async (update: ResourceUpdate): Promise<readonly ResourceRejection[]> => {
    if (update.controlPlane !== undefined) controlPlane = update.controlPlane;
    const prefix = STAT_PREFIXES[update.typeUrl] ?? 'control_plane';
    stats.increment(`${prefix}.update_attempt`);
    const refused = intake.take(update, clock.nowMs());
    refreshSubscriptions();
    const kind = PROBLEM_TYPES[update.typeUrl];
    const problems = (await options.publish()).filter((problem) => problem.kind === kind);
    const rejections = [...refused, ...problems.map(({ name, message }) => ({ name, message }))];
    stats.increment(rejections.length === 0 ? `${prefix}.update_success` : `${prefix}.update_rejected`);
    // What replaced a resource may refer to less than the two together did.
    refreshSubscriptions();
    options.onJudged(update.typeUrl);
    return rejections;
  };

  const createClient = (cluster: string, service: 'ads' | 'sds', isDelta: boolean): DiscoveryClient =>
    createDiscoveryClient({
      transport: options.connect(cluster),
      wire: isDelta ? deltaWire : sotwWire,
      service,
      node: options.node,
      apply,
      clock,
      random: options.random,
      log: options.log.scope(service === 'ads' ? 'xds' : 'sds'),
      typeOrder: TYPE_ORDER,
      onEvent: ({ kind }) => {
        if (service === 'ads' && kind === 'disconnected') stats.increment('cluster_manager.cds.update_failure');
      },
    });

  const ads = options.ads === undefined ? undefined : createClient(options.ads.cluster, 'ads', options.ads.isDelta);

  const refreshSubscriptions = (): void => {
    const names = collectWantedNames(configuration);
    forgetUnwanted(configuration, names);
    ads?.setInterest(TYPE_URLS.endpoints, names.endpoints);
    ads?.setInterest(TYPE_URLS.route, names.routes);
    ads?.setInterest(TYPE_URLS.secret, names.adsSecrets);
    for (const [cluster, wanted] of names.secretsByCluster) {
      let client = secretClients.get(cluster);
      if (client === undefined) {
        client = createClient(cluster, 'sds', false);
        secretClients.set(cluster, client);
        client.start();
      }
      client.setInterest(TYPE_URLS.secret, wanted);
    }
    for (const [cluster, client] of secretClients) {
      if (!names.secretsByCluster.has(cluster)) client.setInterest(TYPE_URLS.secret, new Set());
    }
  };

  return {
    start() {
      ads?.setInterest(TYPE_URLS.cluster, WILDCARD);
      ads?.start();
    },
    askForListeners: () => ads?.setInterest(TYPE_URLS.listener, WILDCARD),
    refreshSubscriptions,
    isConnected: () => ads?.isConnected() ?? false,
    controlPlane: () => controlPlane,
    close() {
      ads?.close();
      for (const client of secretClients.values()) client.close();
    },
  };
}
