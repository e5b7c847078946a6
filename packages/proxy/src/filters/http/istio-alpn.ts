import type { AlpnOverride } from '../../upstream/cluster.ts';
import type { HttpFilter } from './http-filter.ts';

/**
 * Istio's `istio.alpn`: tells the other side's sidecar by ALPN that the bytes are HTTP from a proxy. The upstream protocol is
 * HTTP/1.1 so far, so only that list is used.
 */
export function createIstioAlpnFilter(name: string, overrides: { readonly http11: readonly string[] }): HttpFilter {
  const override: AlpnOverride | undefined =
    overrides.http11.length === 0 ? undefined : { key: overrides.http11.join(','), protocols: overrides.http11 };
  return {
    name,
    onRequestHeaders(stream) {
      // A cluster that opted out names its own ALPN (`istio.alpn_override: "false"`).
      const ofCluster = stream.cluster?.config.metadata['istio']?.['alpn_override'];
      if (ofCluster !== 'false') stream.alpnOverride = override;
      return 'continue';
    },
  };
}
