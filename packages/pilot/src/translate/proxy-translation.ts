import type { MeshSnapshot } from '@meltemi/model';
import type { Cluster } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterLoadAssignment } from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Listener } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfiguration } from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import type { ProxyConfig } from '@meltemi/xds/types/istio/mesh/v1alpha1/proxy_pb.js';
import type { NameTable } from '@meltemi/xds/types/istio/networking/nds/v1/nds_pb.js';
import type { TranslationMemo } from './memo.ts';
import type { ProxyNode } from './proxy-node.ts';
import type { NamespaceScope } from './scope/namespace-scope.ts';
import type { Translated } from './translated.ts';

/** A snapshot as one proxy is to see it. Every method is a pure function of (snapshot, node), remembered by the memo. */
export interface ProxyTranslation {
  clusters(): readonly Translated<Cluster>[];
  /** @param names Cluster names; all of the proxy's when absent. Unknown names are left out. */
  endpoints(names?: Iterable<string>): readonly Translated<ClusterLoadAssignment>[];
  listeners(): readonly Translated<Listener>[];
  /** @param names Names of route configurations; all that listeners refer to when absent. */
  routes(names?: Iterable<string>): readonly Translated<RouteConfiguration>[];
  /** What the agent beside the proxy answers DNS queries from. */
  nameTable(): Translated<NameTable>;
  /** What the agent beside the proxy is told: nothing, or what it is to trust. */
  proxyConfigs(): readonly Translated<ProxyConfig>[];
}

/** What a proxy's resources are made from. */
export interface ProxyInput {
  readonly snapshot: MeshSnapshot;
  readonly node: ProxyNode;
  readonly memo: TranslationMemo;
}

/** What translation for one proxy looks things up in. */
export interface ProxyContext {
  readonly scope: NamespaceScope;
  readonly node: ProxyNode;
  readonly memo: TranslationMemo;
}
