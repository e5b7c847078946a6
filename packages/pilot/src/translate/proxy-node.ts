import type { Labels, Locality } from '@meltemi/model';

/** A proxy as translation sees it. */
export interface ProxyNode {
  readonly type: 'sidecar' | 'router';
  /** `<pod>.<namespace>`. */
  readonly id: string;
  readonly namespace: string;
  readonly clusterId: string;
  readonly network: string;
  /** First one is primary. */
  readonly addresses: readonly string[];
  readonly labels: Labels;
  readonly locality: Locality;
  readonly nodeName: string;
  readonly interceptionMode: 'REDIRECT' | 'TPROXY' | 'NONE';
  /** Set where the application has an address of its own, beside the pod's, and nothing is captured. */
  readonly application?: Application;
  /** A gateway's pod that may not bind ports below 1024. */
  readonly isUnprivileged: boolean;
  readonly features: ProxyFeatures;
}

/** Where a sidecar without capture hands connections to. */
export interface Application {
  readonly address: string;
  /** The TCP ports that the pod declares: the sidecar binds them on the pod's address. Ascending. */
  readonly ports: readonly number[];
}

/** Extensions beyond plain Envoy that a proxy was built with. */
export interface ProxyFeatures {
  readonly httpPeerMetadata: boolean;
  readonly tcpMetadataExchange: boolean;
  readonly httpStats: boolean;
  readonly tcpStats: boolean;
  readonly alpnOverride: boolean;
}

/** A proxy with every extension. */
export const ALL_FEATURES: ProxyFeatures = {
  httpPeerMetadata: true,
  tcpMetadataExchange: true,
  httpStats: true,
  tcpStats: true,
  alpnOverride: true,
};

/** The names by which Envoy lists the extensions, and by which Istio's filters go. */
const EXTENSION_NAMES: Readonly<Record<keyof ProxyFeatures, readonly string[]>> = {
  httpPeerMetadata: ['envoy.filters.http.peer_metadata'],
  tcpMetadataExchange: ['envoy.filters.network.metadata_exchange', 'istio.metadata_exchange'],
  httpStats: ['envoy.filters.http.istio_stats', 'istio.stats'],
  tcpStats: ['envoy.filters.network.istio_stats', 'istio.stats'],
  alpnOverride: ['istio.alpn'],
};

/**
 * Decides what a proxy can load.
 *
 * @param extensions What the node lists; an empty list means that it does not say, and is trusted to have everything.
 * @param userAgentName `meltemi` for our own proxy, which has everything.
 */
export function resolveProxyFeatures(extensions: ReadonlySet<string>, userAgentName: string): ProxyFeatures {
  if (extensions.size === 0 || userAgentName === 'meltemi') return ALL_FEATURES;
  const has = (feature: keyof ProxyFeatures): boolean => EXTENSION_NAMES[feature].some((name) => extensions.has(name));
  return {
    httpPeerMetadata: has('httpPeerMetadata'),
    tcpMetadataExchange: has('tcpMetadataExchange'),
    httpStats: has('httpStats'),
    tcpStats: has('tcpStats'),
    alpnOverride: has('alpnOverride'),
  };
}

/** A text that is equal for proxies with equal features: part of memo keys. */
export function featuresKey(features: ProxyFeatures): string {
  return Object.values(features)
    .map((isOn) => (isOn ? '1' : '0'))
    .join('');
}

/** Features written by {@link featuresKey}. */
export function parseFeaturesKey(key: string): ProxyFeatures {
  const names = Object.keys(ALL_FEATURES);
  // The key was written from the same list of names.
  return Object.fromEntries(names.map((name, index) => [name, key[index] === '1'])) as unknown as ProxyFeatures;
}
